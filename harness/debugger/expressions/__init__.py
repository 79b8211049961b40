# SPDX-License-Identifier: BSD-3-Clause
"""C expressions over a stopped kernel: `as->vas.pt`, `(struct frame *)$x0`, `frames[3] & 7`."""

from harness.debugger.expressions.evaluate import Evaluator
from harness.debugger.expressions.values import CValue, ExpressionError

__all__ = ["CValue", "Evaluator", "ExpressionError"]
