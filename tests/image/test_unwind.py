# SPDX-License-Identifier: BSD-3-Clause
"""Backtraces of real code, held against a record of the calls it really made."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from unicorn import UC_ARCH_ARM64, UC_HOOK_CODE, UC_MODE_ARM, Uc, UcError
from unicorn import arm64_const as arm

from harness.errors import ImageError, MachineError
from harness.image import ElfImage
from harness.image.cfi import FrameInfo, Row, Rule, read_frames, row_at
from harness.image.unwind import Backtrace, Unwinder

STACK, STACK_SIZE, HEAP = 0x7000_0000, 0x10000, 0x7800_0000
STACK_TOP = STACK + STACK_SIZE
BACK = 0x7FFF_0000  # where calls made from outside return to
PAGE = 0x1000
BL_MASK, BL, BLR_MASK, BLR, RET = 0xFC00_0000, 0x9400_0000, 0xFFFF_FC1F, 0xD63F_0000, 0xD65F_03C0
REGISTERS = {
    **{f"x{n}": getattr(arm, f"UC_ARM64_REG_X{n}") for n in range(31)},
    "sp": arm.UC_ARM64_REG_SP,
    "pc": arm.UC_ARM64_REG_PC,
    "elr": arm.UC_ARM64_REG_ELR_EL1,
}


class Emulator:
    """The sample program in a bare CPU with the MMU off, and a record of its calls."""

    def __init__(self, image: ElfImage) -> None:
        self.image = image
        self.uc = Uc(UC_ARCH_ARM64, UC_MODE_ARM)
        pages = {
            page for s in image.segments for page in range(s.vaddr & -PAGE, s.vaddr + s.memory_size, PAGE)
        }
        for page in pages:
            self.uc.mem_map(page, PAGE)
        for segment in image.segments:
            self.uc.mem_write(segment.vaddr, segment.data)
        for start in (STACK, HEAP):
            self.uc.mem_map(start, STACK_SIZE)
        self.calls: list[str] = []
        self._before = 0

    def register(self, name: str) -> int:
        """A register by the name unwinding uses."""
        return int(self.uc.reg_read(REGISTERS[name]))

    def memory(self, address: int, size: int) -> bytes:
        """Memory, or a MachineError where there is none."""
        try:
            return bytes(self.uc.mem_read(address, size))
        except UcError as error:
            raise MachineError(f"nothing at {address:#x}") from error

    def backtrace(self, pc: int | None = None) -> Backtrace:
        """The backtrace of the current instruction."""
        read = self.register if pc is None else lambda name: pc if name == "pc" else self.register(name)
        return self.image.unwinder.backtrace(read, self.memory, end_at={BACK})

    def call(self, function: str, *arguments: int, each: Callable[[int], None]) -> int:
        """Call a function; `each` is called before every instruction with its address."""
        self.calls, self._before = [function], 0
        for number, value in enumerate(arguments):
            self.uc.reg_write(REGISTERS[f"x{number}"], value)
        self.uc.reg_write(REGISTERS["sp"], STACK_TOP)
        self.uc.reg_write(REGISTERS["x29"], 0)
        self.uc.reg_write(REGISTERS["x30"], BACK)
        failures: list[BaseException] = []

        def hook(uc: Uc, address: int, size: int, data: object) -> None:
            try:
                self._record(address)
                each(address)
            except BaseException as error:  # noqa: BLE001 - raised again below, where pytest sees it
                failures.append(error)
                uc.emu_stop()

        handle = self.uc.hook_add(UC_HOOK_CODE, hook)
        self.uc.emu_start(self.image.symbols[function].address, BACK, count=100_000)
        self.uc.hook_del(handle)
        if failures:
            raise failures[0]
        return self.register("x0")

    def _record(self, address: int) -> None:
        if self._before & BL_MASK == BL or self._before & BLR_MASK == BLR:
            self.calls.append("")
        elif self._before == RET:
            self.calls.pop()
        found = self.image.symbol_at(address)
        assert found is not None
        self.calls[-1] = found[0].name
        self._before = int.from_bytes(self.uc.mem_read(address, 4), "little")


@pytest.fixture
def emulator(sample: ElfImage) -> Emulator:
    """The sample, with three struct holder in a chain at HEAP."""
    made = Emulator(sample)
    for number in range(3):
        address = HEAP + number * 0x100
        made.uc.mem_write(address + 16, struct.pack("<Q", address + 0x100))
        made.uc.mem_write(address + 29, b"\1")  # .ready
    return made


def line_of(comment: str) -> int:
    """The line of main.c that has the comment."""
    lines = (Path(__file__).parent / "sample/main.c").read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if comment in line)


def functions(trace: Backtrace) -> list[str | None]:
    """The functions' names, without what the compiler adds to those of clones."""
    return [frame.function and frame.function.split(".")[0] for frame in trace]


@pytest.mark.parametrize(("function", "argument"), [("deep", 3), ("outer", 3), ("other", HEAP)])
def test_backtrace_is_right_at_every_instruction(emulator: Emulator, function: str, argument: int) -> None:
    """In prologues, bodies and epilogues alike the backtrace names the calls really made."""
    depths = []

    def check(address: int) -> None:
        trace = emulator.backtrace(address)
        assert functions(trace) == [name.split(".")[0] for name in emulator.calls[::-1]], hex(address)
        assert trace.is_complete
        assert trace.frames[-1].cfa == STACK_TOP
        assert [frame.is_exact for frame in trace] == [True] + [False] * (len(trace) - 1)
        depths.append(len(trace))

    emulator.call(function, HEAP, argument, each=check)
    assert max(depths) >= {"deep": 4, "outer": 1, "other": 1}[function]


def test_frames_have_the_callers_registers(emulator: Emulator) -> None:
    """The outermost frame has the callee-saved registers that the caller had."""
    marks = {f"x{number}": 0x1111 * number for number in range(19, 29)}
    for name, value in marks.items():
        emulator.uc.reg_write(REGISTERS[name], value)
    seen = []

    def check(address: int) -> None:
        frame = emulator.backtrace(address).frames[-1]
        if len(emulator.calls) > 2:
            assert not set(frame.registers) & {f"x{number}" for number in range(19)}
            seen.append(address)

    saved: list[dict[str, int]] = []

    def outermost(address: int) -> None:
        check(address)
        trace = emulator.image.unwinder.backtrace(
            lambda name: address if name == "pc" else emulator.register(name), emulator.memory
        )
        saved.append({name: trace.frames[-1].registers[name] for name in marks})
        assert trace.frames[-1].pc == BACK
        assert trace.frames[-1].registers["sp"] == STACK_TOP

    emulator.call("deep", HEAP, 2, each=outermost)
    assert seen
    assert all(each == marks for each in saved)


def test_deepest_call_has_its_source_line(emulator: Emulator) -> None:
    """A return address is attributed to the line of its call, not to the next one."""
    lines: set[tuple[str | None, int | None]] = set()

    def look(address: int) -> None:
        if emulator.calls[-1] == "nothing":
            caller = emulator.backtrace(address).frames[1]
            lines.add((Path(caller.file or "").name, caller.line))

    emulator.call("deep", HEAP, 1, each=look)
    assert lines == {("main.c", line_of("// the deepest call"))}


def test_inlined_calls_are_shown_inside_out(emulator: Emulator) -> None:
    """At a call in a function inlined twice over, the frame names all three functions and lines."""
    chains = set()

    def look(address: int) -> None:
        if emulator.calls[-1].startswith("quiet"):
            frame = emulator.backtrace(address).frames[1]
            chains.add(tuple((each.function, each.location and each.location.line) for each in frame.source))
            assert [each.function for each in frame.inlined] == ["twice", "wrapped"]
            assert "twice" in str(frame)

    emulator.call("outer", HEAP, 2, each=look)
    assert chains == {
        (
            ("twice", line_of("// line of the inlined body")),
            ("wrapped", line_of("// call within a call")),
            ("outer", line_of("// the inlined call")),
        )
    }


def test_exception_frames_keep_pc_and_link_register(emulator: Emulator) -> None:
    """Interrupted anywhere, a leaf included, the backtrace goes on through the vector."""
    image, checked = emulator.image, []
    vector, nothing = (image.symbols[name].address for name in ("vector", "nothing"))

    def interrupt(address: int) -> None:
        before, stack = emulator.uc.context_save(), emulator.memory(STACK, STACK_SIZE)
        expected = [name.split(".")[0] for name in emulator.calls[::-1]]
        for stop in (vector, vector + 4, vector + 16, nothing):
            other = Emulator(image)
            other.uc.mem_write(STACK, stack)
            other.uc.context_restore(before)
            other.uc.reg_write(REGISTERS["elr"], address)
            other.uc.reg_write(REGISTERS["sp"], other.register("sp"))
            if stop != vector:
                other.uc.emu_start(vector, stop, count=200)
            trace = other.backtrace(stop)
            inner = ["nothing", "handle", "vector"] if stop == nothing else ["vector"]
            assert functions(trace) == inner + expected
            interrupted = trace.frames[len(inner)]
            assert (interrupted.pc, interrupted.is_exact) == (address, True)
            assert interrupted.registers["x5"] == emulator.register("x5")
            assert interrupted.registers["sp"] == emulator.register("sp")
            checked.append(address)

    emulator.call("deep", HEAP, 1, each=interrupt)
    assert len(checked) > 40


def test_jump_to_nowhere_still_shows_the_caller(emulator: Emulator) -> None:
    """After a call through a null pointer, x30 leads to the function that made it."""
    traces = []

    def look(address: int) -> None:
        if emulator.calls[-1] == "nothing" and not traces:
            traces.append(emulator.backtrace(0))

    emulator.call("deep", HEAP, 1, each=look)
    assert functions(traces[0]) == [None, "deep", "deep"]
    assert traces[0].frames[0].pc == 0


def test_garbage_stacks_end_with_a_reason(emulator: Emulator) -> None:
    """Whatever is on the stack, the walk ends, says why, and keeps the frames it had."""
    sane = []

    def look(address: int) -> None:
        if len(emulator.calls) == 3 and not sane:
            good = emulator.backtrace(address)
            sane.append(good)
            for fill in (b"\0", b"\xff", b"\x41", struct.pack("<Q", STACK_TOP - 64)):
                filled = (fill * STACK_SIZE)[:STACK_SIZE]
                trace = emulator.image.unwinder.backtrace(
                    lambda name: address if name == "pc" else emulator.register(name),
                    lambda where, size, filled=filled: filled[where - STACK :][:size],
                )
                assert trace.frames[0] == good.frames[0]
                assert len(trace) <= 257
                assert trace.reason

    emulator.call("deep", HEAP, 3, each=look)
    assert sane


def test_unreadable_stack_names_the_address(emulator: Emulator) -> None:
    """A stack pointer into nowhere gives the innermost frame and the memory error."""

    def read(name: str) -> int:
        return {"pc": emulator.image.symbols["deep"].address + 16, "sp": 0x10}.get(name, 0)

    trace = emulator.image.unwinder.backtrace(read, emulator.memory)
    assert functions(trace) == ["deep"]
    assert not trace.is_complete
    assert "nothing at 0x" in trace.reason
    assert trace.reason in str(trace)


def test_a_stack_that_repeats_itself_ends(sample: ElfImage) -> None:
    """Frame records in a circle end the walk."""
    label = sample.symbols["bare_label"].address

    def read(name: str) -> int:
        return {"pc": label, "x29": 0x1000, "sp": 0x1000}.get(name, 0)

    def memory(address: int, size: int) -> bytes:
        return struct.pack("<QQ", 0x1010, label + 4)[address % 16 :][:size] if size == 8 else b""

    trace = sample.unwinder.backtrace(read, memory)
    assert 1 < len(trace) <= 256
    assert not trace.is_complete


def test_frame_records_are_followed_without_cfi(sample: ElfImage) -> None:
    """Code without call frame information is unwound by x29, and by x30 in a leaf."""
    label, deep = sample.symbols["bare_label"].address, sample.symbols["deep"].address
    stack = {0x2000: 0x2020, 0x2008: deep + 8, 0x2020: 0, 0x2028: 0}

    def read(name: str) -> int:
        return {"pc": label, "x29": 0x2000, "sp": 0x2000}.get(name, 0)

    bare = NoFrames(sample)
    trace = Unwinder(bare).backtrace(read, lambda where, _: struct.pack("<Q", stack[where]))
    assert functions(trace) == ["bare_label", "deep"]
    assert trace.is_complete
    leaf = Unwinder(bare).backtrace(
        lambda name: deep + 8 if name == "x30" else read(name),
        lambda where, _: struct.pack("<Q", stack[where]),
    )
    assert functions(leaf)[:2] == ["bare_label", "deep"]


class NoFrames:
    """An image whose call frame information was stripped."""

    def __init__(self, image: ElfImage) -> None:
        self.symbol_at, self.source_at, self.is_code = image.symbol_at, image.source_at, image.is_code

    def section(self, name: str) -> None:
        """There are no such sections."""


def frames_of(
    program: bytes, *, augmentation: bytes = b"\0", column: int = 30, initial: bytes = b"\x0c\x1f\x00"
) -> list[FrameInfo]:
    """A .debug_frame with one CIE (CFA = sp + 0) and one FDE of the given program at 0x1000."""
    cie = b"\xff\xff\xff\xff\x03" + augmentation + bytes([4, 0x78, column]) + initial
    fde = struct.pack("<IQQ", 0, 0x1000, 0x100) + program
    data = b"".join(struct.pack("<I", len(part)) + part for part in (cie, fde))
    return list(read_frames(data, 0, is_eh=False))


def rows(program: bytes, *addresses: int) -> Iterator[Row]:
    """The rows of a program at some addresses."""
    (frame,) = frames_of(program)
    return (row_at(frame, address) for address in addresses)


def test_rows_change_at_the_instruction_after_an_advance() -> None:
    """A rule holds from the location advanced to, not before it."""
    before, after = rows(b"\x41\x0e\x10\x9e\x01", 0x1003, 0x1004)
    assert (before.offset, dict(before.rules)) == (0, {})
    assert (after.offset, dict(after.rules)) == (16, {30: Rule("offset", -8)})


def test_state_is_remembered_and_restored() -> None:
    """Remember and restore bring back CFA and rules, restore of one register its initial rule."""
    inside, after = rows(b"\x9e\x01\x0a\x0e\x20\xde\x42\x0b", 0x1000, 0x1008)
    assert (inside.offset, dict(inside.rules)) == (32, {})
    assert (after.offset, dict(after.rules)) == (0, {30: Rule("offset", -8)})


def test_restore_brings_back_the_initial_rule() -> None:
    """DW_CFA_restore of a register that the CIE has a rule for brings that rule back."""
    (frame,) = frames_of(b"\x9e\x01\x41\xde", initial=b"\x0c\x1f\x00\x9e\x03")
    assert dict(row_at(frame, 0x1000).rules) == {30: Rule("offset", -8)}
    assert dict(row_at(frame, 0x1004).rules) == {30: Rule("offset", -24)}


def test_rules_that_lead_in_a_circle_end(sample: ElfImage) -> None:
    """Rules by which a function is its own caller (x30 is in x19, the stack does not move) end the walk."""

    class Circle(Unwinder):
        def info_at(self, address: int) -> FrameInfo | None:
            return frames_of(b"\x09\x1e\x13")[0]

    trace = Circle(sample).backtrace(lambda _: 0x1010, lambda _, size: bytes(size))
    assert [frame.pc for frame in trace] == [0x1010]
    assert "repeats itself" in trace.reason


def test_signed_factored_cfa_offsets_use_the_data_alignment() -> None:
    """DW_CFA_def_cfa_sf and def_cfa_offset_sf are scaled by the data alignment factor (here -8)."""
    (first,) = rows(b"\x12\x1d\x7e", 0x1000)
    (second,) = rows(b"\x13\x7d", 0x1000)
    assert (first.register, first.offset) == (29, 16)
    assert second.offset == 24


def test_signal_flag_is_read_in_debug_frame() -> None:
    """The assembler writes "S" without "z" into .debug_frame."""
    (frame,) = frames_of(b"", augmentation=b"S\0", column=33)
    assert frame.common.is_signal
    assert frame.common.return_column == 33


@pytest.mark.parametrize("program", [b"\x3f", b"\x0b", b"\x0e", b"\x10\x1e\x09\x01"])
def test_malformed_programs_end_the_backtrace_with_a_reason(sample: ElfImage, program: bytes) -> None:
    """Unknown instructions, a restore of nothing and missing operands are reasons, not crashes."""

    class Damaged(Unwinder):
        def info_at(self, address: int) -> FrameInfo | None:
            return frames_of(program)[0]

    trace = Damaged(sample).backtrace(lambda _: 0x1010, lambda _, size: bytes(size))
    assert len(trace) == 1
    assert "malformed DWARF in call frame information" in trace.reason


def test_unknown_augmentation_is_refused() -> None:
    """Frames that cannot be read are an error and not silently wrong."""
    with pytest.raises(ValueError, match="augmentation 'eh'"):
        frames_of(b"", augmentation=b"eh\0")
    assert issubclass(ImageError, Exception)
