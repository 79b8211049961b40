# SPDX-License-Identifier: BSD-3-Clause
"""Which instructions, branch outcomes and source lines of a kernel were executed: exactly, for any image.

recorder = Recorder()
recorder.attach(machine)                     before the image runs
...
found = measure(image, recorder.take(), "kernel_c/")
"""

from harness.checks.coverage.program import Program
from harness.checks.coverage.reached import Reached, reach
from harness.checks.coverage.recorder import Recorder, Step
from harness.checks.coverage.source import Coverage, FileCoverage, Outcome, measure

__all__ = [
    "Coverage",
    "FileCoverage",
    "Outcome",
    "Program",
    "Reached",
    "Recorder",
    "Step",
    "measure",
    "reach",
]
