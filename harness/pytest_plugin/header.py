# SPDX-License-Identifier: BSD-3-Clause
"""The line at the head of a test run that says what is under test."""

from __future__ import annotations

from harness.errors import ImageError
from harness.image import ElfImage
from harness.pytest_plugin.options import HOW_TO_BUILD, Settings, Target
from harness.report.producer import producer
from harness.report.sizes import format_size


def header(settings: Settings) -> list[str]:
    """One line for the machine, one for each image."""
    machine = f"kernel: cpu {settings.cpu}, RAM {format_size(settings.ram_size)}, entry EL{settings.entry_el}"
    return [machine, *(f"  {target.id}: {target.path} ({_built_by(target)})" for target in settings.targets)]


def _built_by(target: Target) -> str:
    if not target.path.is_file():
        return f"missing: {HOW_TO_BUILD}"
    try:
        return producer(ElfImage.load(target.path)) or "no DWARF: compiler not known"
    except ImageError as error:
        return str(error)
