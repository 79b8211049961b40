# SPDX-License-Identifier: BSD-3-Clause
"""What a command gives back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rich.console import RenderableType

from harness.report.text import plain


@dataclass(frozen=True, slots=True)
class Result:
    """Text for people, `data` for programs (None where there is no view), and whether it is an error."""

    output: RenderableType = ""
    data: Any = None
    failed: bool = False
    quit: bool = False

    @property
    def text(self) -> str:
        """The output as plain text."""
        return self.output if isinstance(self.output, str) else plain(self.output)
