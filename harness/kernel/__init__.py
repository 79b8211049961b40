# SPDX-License-Identifier: BSD-3-Clause
"""The facade: boot an image, call its C functions, look at its tables."""

from harness.kernel.kernel import Kernel
from harness.kernel.tables import Difference, Leaf, Run, Tables
from harness.kernel.values import ArrayValue, EnumValue, PointerValue, StructValue

__all__ = [
    "ArrayValue",
    "Difference",
    "EnumValue",
    "Kernel",
    "Leaf",
    "PointerValue",
    "Run",
    "StructValue",
    "Tables",
]
