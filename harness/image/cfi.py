# SPDX-License-Identifier: BSD-3-Clause
"""Call frame information: .debug_frame and .eh_frame (DWARF 5, 6.4).

Read here and not by pyelftools, which rejects the "S" of signal frames in .debug_frame, and so
every vector table that describes itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from harness.image.reader import Cursor

# Pointer encodings of .eh_frame (LSB 5.0 core, 10.5.1).
ENCODED: Final = {0x0: (8, False), 0x2: (2, False), 0x3: (4, False), 0x4: (8, False)} | {
    0xA: (2, True),
    0xB: (4, True),
    0xC: (8, True),
}
PE_ULEB, PE_SLEB, PE_PCREL, PE_INDIRECT = 0x1, 0x9, 0x10, 0x80
MASK: Final = (1 << 64) - 1
RA_SIGN_STATE: Final = 34  # AArch64 DWARF ABI, 4.1

Kind = Literal["undefined", "same", "offset", "val_offset", "register", "expression", "val_expression"]


@dataclass(frozen=True, slots=True)
class Rule:
    """How to find the caller's value of a register: `number` is an offset from the CFA or a register."""

    kind: Kind
    number: int = 0
    expression: bytes = b""


@dataclass(frozen=True, slots=True)
class CommonInfo:
    """What the frame descriptions of many functions share (a CIE)."""

    code_align: int
    data_align: int
    return_column: int
    is_signal: bool
    is_augmented: bool
    pointer_encoding: int
    instructions: bytes


@dataclass(frozen=True, slots=True)
class FrameInfo:
    """The frame description of the addresses from `low` up to, not including, `high` (an FDE)."""

    common: CommonInfo
    low: int
    high: int
    instructions: bytes


@dataclass(frozen=True, slots=True)
class Row:
    """The rules at one address. The CFA is `register` + `offset`, or else what `expression` computes."""

    register: int = 31
    offset: int = 0
    expression: bytes = b""
    rules: Mapping[int, Rule] = field(default_factory=dict)


def read_frames(data: bytes, address: int, *, is_eh: bool) -> Iterator[FrameInfo]:
    """The frame descriptions of a section that is loaded at `address` (which only .eh_frame needs)."""
    cursor, commons = Cursor(data), dict[int, CommonInfo]()
    while cursor.position + 4 <= len(data):
        start = cursor.position
        length, width = cursor.length()
        if length == 0:  # the terminator that crtend.o adds to .eh_frame, more may follow
            continue
        body, end = cursor.position, cursor.position + length
        identity = cursor.unsigned(width)
        if identity == (0 if is_eh else (1 << 8 * width) - 1):
            commons[start] = _common(Cursor(data[:end], cursor.position), address)
        else:
            # .eh_frame counts back from the field itself, .debug_frame from the section's start.
            common = commons[body - identity if is_eh else identity]
            yield _frame(Cursor(data[:end], cursor.position), common, address)
        cursor.position = end


def _common(cursor: Cursor, address: int) -> CommonInfo:
    version, augmentation = cursor.u8(), cursor.string()
    if version >= 4:
        cursor.take(2)  # address size, segment selector size
    code_align, data_align = cursor.uleb(), cursor.sleb()
    column = cursor.u8() if version == 1 else cursor.uleb()
    encoding, augmented = 0, augmentation.startswith("z")
    if augmented:
        end = cursor.uleb() + cursor.position
        for letter in augmentation[1:]:
            if letter == "R":
                encoding = cursor.u8()
            elif letter == "L":
                cursor.u8()
            elif letter == "P":
                _pointer(cursor, cursor.u8(), address)
        cursor.position = end
    elif augmentation.strip("SB"):
        raise ValueError(f"frame augmentation {augmentation!r} is not known")
    rest = cursor.data[cursor.position :]
    return CommonInfo(code_align, data_align, column, "S" in augmentation, augmented, encoding, rest)


def _frame(cursor: Cursor, common: CommonInfo, address: int) -> FrameInfo:
    low = _pointer(cursor, common.pointer_encoding, address)
    size = _pointer(cursor, common.pointer_encoding & 0xF, address)
    if common.is_augmented:
        cursor.take(cursor.uleb())
    return FrameInfo(common, low, low + size, cursor.data[cursor.position :])


def _pointer(cursor: Cursor, encoding: int, address: int) -> int:
    base = address + cursor.position if encoding & 0x70 == PE_PCREL else 0
    if encoding & 0x70 not in (0, PE_PCREL) or encoding & PE_INDIRECT:
        raise ValueError(f"pointer encoding {encoding:#x} is not supported")
    form = encoding & 0xF
    if form in (PE_ULEB, PE_SLEB):
        value = cursor.uleb() if form == PE_ULEB else cursor.sleb()
    else:
        size, signed = ENCODED[form]
        value = cursor.signed(size) if signed else cursor.unsigned(size)
    return (base + value) & MASK


def row_at(frame: FrameInfo, address: int) -> Row:
    """The rules that hold at `address`, which lies in `frame`."""
    common = frame.common
    initial = _Program(common, Row(), frame.low).run(common.instructions, MASK)
    return _Program(common, initial, frame.low).run(frame.instructions, address)


class _Program:
    """Runs call frame instructions up to an address."""

    def __init__(self, common: CommonInfo, initial: Row, location: int) -> None:
        self.common = common
        self.initial = initial
        self.row = initial
        self.location = location
        self.saved: list[Row] = []

    def run(self, instructions: bytes, address: int) -> Row:
        """The row in force at `address`."""
        cursor = Cursor(instructions)
        while not cursor.at_end:
            code = cursor.u8()
            advance = self._advance(code, cursor)
            if advance is None:
                self._obey(code, cursor)
            elif advance > address:
                break
            else:
                self.location = advance
        return self.row

    def _advance(self, code: int, cursor: Cursor) -> int | None:
        """The new location, for the instructions that set one."""
        if code >> 6 == 1:  # DW_CFA_advance_loc
            return self.location + (code & 0x3F) * self.common.code_align
        if code == 0x01:  # DW_CFA_set_loc
            return _pointer(cursor, 0, 0)
        if 0x02 <= code <= 0x04:  # DW_CFA_advance_loc1, 2, 4
            return self.location + cursor.unsigned(1 << (code - 2)) * self.common.code_align
        return None

    def _obey(self, code: int, cursor: Cursor) -> None:
        factor = self.common.data_align
        match code:
            case _ if code >> 6 == 2:  # DW_CFA_offset
                self._set(code & 0x3F, Rule("offset", cursor.uleb() * factor))
            case _ if code >> 6 == 3:  # DW_CFA_restore
                self._restore(code & 0x3F)
            case 0x00:  # DW_CFA_nop
                pass
            case 0x05:  # DW_CFA_offset_extended
                self._set(cursor.uleb(), Rule("offset", cursor.uleb() * factor))
            case 0x06:  # DW_CFA_restore_extended
                self._restore(cursor.uleb())
            case 0x07:  # DW_CFA_undefined
                self._set(cursor.uleb(), Rule("undefined"))
            case 0x08:  # DW_CFA_same_value
                self._set(cursor.uleb(), Rule("same"))
            case 0x09:  # DW_CFA_register
                self._set(cursor.uleb(), Rule("register", cursor.uleb()))
            case 0x0A:  # DW_CFA_remember_state
                self.saved.append(self.row)
            case 0x0B:  # DW_CFA_restore_state
                self.row = self.saved.pop()
            case 0x10:  # DW_CFA_expression
                self._set(cursor.uleb(), Rule("expression", expression=_block(cursor)))
            case 0x11:  # DW_CFA_offset_extended_sf
                self._set(cursor.uleb(), Rule("offset", cursor.sleb() * factor))
            case 0x14:  # DW_CFA_val_offset
                self._set(cursor.uleb(), Rule("val_offset", cursor.uleb() * factor))
            case 0x15:  # DW_CFA_val_offset_sf
                self._set(cursor.uleb(), Rule("val_offset", cursor.sleb() * factor))
            case 0x16:  # DW_CFA_val_expression
                self._set(cursor.uleb(), Rule("val_expression", expression=_block(cursor)))
            case 0x2D:  # DW_CFA_AARCH64_negate_ra_state
                state = self.row.rules.get(RA_SIGN_STATE, Rule("same")).number
                self._set(RA_SIGN_STATE, Rule("same", 1 - state))
            case 0x2E:  # DW_CFA_GNU_args_size
                cursor.uleb()
            case _:
                self._define_cfa(code, cursor)

    def _define_cfa(self, code: int, cursor: Cursor) -> None:
        row, factor = self.row, self.common.data_align
        match code:
            case 0x0C:  # DW_CFA_def_cfa
                self.row = replace(row, register=cursor.uleb(), offset=cursor.uleb(), expression=b"")
            case 0x0D:  # DW_CFA_def_cfa_register
                self.row = replace(row, register=cursor.uleb(), expression=b"")
            case 0x0E:  # DW_CFA_def_cfa_offset
                self.row = replace(row, offset=cursor.uleb())
            case 0x0F:  # DW_CFA_def_cfa_expression
                self.row = replace(row, expression=_block(cursor))
            case 0x12:  # DW_CFA_def_cfa_sf
                register, offset = cursor.uleb(), cursor.sleb() * factor
                self.row = replace(row, register=register, offset=offset, expression=b"")
            case 0x13:  # DW_CFA_def_cfa_offset_sf
                self.row = replace(row, offset=cursor.sleb() * factor)
            case _:
                raise ValueError(f"call frame instruction {code:#04x} is not known")

    def _set(self, register: int, rule: Rule) -> None:
        self.row = replace(self.row, rules={**self.row.rules, register: rule})

    def _restore(self, register: int) -> None:
        rules = {number: rule for number, rule in self.row.rules.items() if number != register}
        if register in self.initial.rules:
            rules[register] = self.initial.rules[register]
        self.row = replace(self.row, rules=rules)


def _block(cursor: Cursor) -> bytes:
    return cursor.take(cursor.uleb())
