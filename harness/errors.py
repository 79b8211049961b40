# SPDX-License-Identifier: BSD-3-Clause
"""Every exception the harness raises on purpose.

    HarnessError
    ├── ImageError              the file is not an ELF this harness can use
    ├── MachineError            the machine was asked for what it cannot do
    │   └── BudgetExceeded      a run used up its instruction budget
    ├── CallError (TypeError)   arguments do not fit the C prototype
    └── GuestError              the guest program itself failed
        ├── GuestPanic          it reached its panic function or a failed assertion
        ├── GuestException      an exception nobody expected
        ├── GuestRunaway        it does not come back
        └── GuestViolation      the sanitizer found it breaking rules of the architecture

A message says what was wrong, where, and what to do about it.
"""

from __future__ import annotations

from typing import Any


class HarnessError(Exception):
    """Base of all errors raised by the harness."""


class ImageError(HarnessError):
    """The file cannot be used as a kernel image."""


class MachineError(HarnessError):
    """The machine was asked for something it cannot do."""


class BudgetExceeded(MachineError):  # noqa: N818 - named for what happened in the guest
    """A run used up its instruction budget."""


class CallError(HarnessError, TypeError):
    """The arguments of a call do not fit the C prototype."""


class GuestError(HarnessError):
    """The program on the emulated CPU failed.

    `autopsy` is what it looked like then (harness.kernel.failure.Autopsy), or None where nothing is known;
    `findings` (harness.checks.findings.Finding) what the sanitizer had found by then.
    """

    def __init__(self, message: str, autopsy: Any = None, findings: Any = ()) -> None:
        super().__init__(message)
        self.autopsy, self.findings = autopsy, findings


class GuestPanic(GuestError):  # noqa: N818 - named for what happened in the guest
    """The guest reached its panic function or a failed assertion."""


class GuestException(GuestError):  # noqa: N818 - named for what happened in the guest
    """The guest took an exception that nobody expected."""


class GuestRunaway(GuestError):  # noqa: N818 - named for what happened in the guest
    """The guest does not come back within its budget."""


class GuestViolation(GuestError):  # noqa: N818 - named for what happened in the guest
    """The guest broke rules of the architecture; its `findings` say which."""
