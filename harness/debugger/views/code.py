# SPDX-License-Identifier: BSD-3-Clause
"""Source lines and instructions."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import capstone

from harness.debugger.views.values import symbolic
from harness.image import ElfImage

_TARGET = re.compile(r"#(0x[0-9a-f]+)$")
_BRANCHES = ("b", "bl", "cb", "tb", "adr")


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction: where, its encoding, and how it is written."""

    address: int
    word: int
    text: str


class Disassembler:
    """Instructions from memory."""

    def __init__(self, image: ElfImage, read: Callable[[int, int], bytes]) -> None:
        self._image, self._read = image, read
        self._engine = capstone.Cs(capstone.CS_ARCH_ARM64, capstone.CS_MODE_ARM)
        self._engine.skipdata = False

    def at(self, address: int, count: int) -> list[Instruction]:
        """`count` instructions from an address on. Raises HarnessError where there is no memory."""
        data = self._read(address, 4 * count)
        return [self._one(address + at, data[at : at + 4]) for at in range(0, len(data), 4)]

    def _one(self, address: int, data: bytes) -> Instruction:
        word = int.from_bytes(data, "little")
        found = next(self._engine.disasm_lite(data, address), None)
        if found is None:
            return Instruction(address, word, f".inst\t{word:#010x} ; undefined")
        _, _, mnemonic, operands = found
        target = _TARGET.search(operands)
        if target and mnemonic.startswith(_BRANCHES):
            where = int(target[1], 16)
            operands = f"{operands[: target.start()]}{where:#x}{symbolic(self._image, where)}"
        return Instruction(address, word, f"{mnemonic}\t{operands}".rstrip())


class SourceFiles:
    """The text of source files, wherever they are now."""

    def __init__(self, image: ElfImage) -> None:
        self._roots = [Path.cwd(), *image.path.resolve().parents]
        self._read: dict[str, list[str] | None] = {}

    def lines(self, file: str) -> list[str] | None:
        """The lines of a file by the path that DWARF has, or None when it cannot be found."""
        if file not in self._read:
            self._read[file] = self._load(file)
        return self._read[file]

    def line(self, file: str, number: int) -> str | None:
        """One line, from 1."""
        lines = self.lines(file)
        return lines[number - 1] if lines is not None and 0 < number <= len(lines) else None

    def _load(self, file: str) -> list[str] | None:
        for path in [Path(file)] if Path(file).is_absolute() else [root / file for root in self._roots]:
            if path.is_file():
                return path.read_text(errors="replace").splitlines()
        return None
