# SPDX-License-Identifier: BSD-3-Clause
"""Which compiler made an image."""

from __future__ import annotations

import re

from harness.image import ElfImage
from harness.image.dies import text


def producer(image: ElfImage) -> str:
    """The C compilers named by the DWARF of the image, without their options; "" when none is."""
    named = [text(unit.top, "DW_AT_producer") for unit in image.types.dwarf.units if not unit.is_assembly]
    return ", ".join(dict.fromkeys(re.split(r" -[a-z]", each, maxsplit=1)[0] for each in named if each))
