# SPDX-License-Identifier: BSD-3-Clause
"""What the CPU calls back for: code, accesses, system instructions, exceptions, translation."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from unicorn import arm64_const, unicorn_const
from unicorn.unicorn_py3.arch.arm64 import HOOK_INSN_SYS_CFUNC, UcRegCP64
from unicorn.unicorn_py3.unicorn import (
    HOOK_CODE_CFUNC,
    HOOK_MEM_ACCESS_CFUNC,
    HOOK_TLB_FILL_CFUNC,
    Uc,
    UcError,
    uccallback,
    uclib,
)

from harness.arch.permissions import Access
from harness.arch.sysreg import Encoding
from harness.errors import MachineError
from harness.machine.engine.core import Core
from harness.machine.engine.names import CpuModel
from harness.machine.hooks import NOWHERE, Hook, PlacedHook, RangeHook
from harness.machine.records import MemoryAccess, Unbacked

if TYPE_CHECKING:
    from array import array

_SYSTEM = {"sys": arm64_const.UC_ARM64_INS_SYS, "msr": arm64_const.UC_ARM64_INS_MSR}
_BLOCK_ENTERED = ctypes.CFUNCTYPE(None, ctypes.c_ssize_t, ctypes.c_uint64)  # and two that nobody reads

_WIDEST = 15  # bytes by which an access to a range can start before it
_ACCESS_HOOKS: Mapping[str, int] = {
    "r": unicorn_const.UC_HOOK_MEM_READ,
    "w": unicorn_const.UC_HOOK_MEM_WRITE,
    "rw": unicorn_const.UC_HOOK_MEM_READ | unicorn_const.UC_HOOK_MEM_WRITE,
}
_FILLS: Mapping[int, Access] = {
    unicorn_const.UC_MEM_READ: "r",
    unicorn_const.UC_MEM_WRITE: "w",
    unicorn_const.UC_MEM_FETCH: "x",
}
_UNBACKED: Mapping[int, Access] = {
    unicorn_const.UC_MEM_READ_UNMAPPED: "r",
    unicorn_const.UC_MEM_WRITE_UNMAPPED: "w",
    unicorn_const.UC_MEM_FETCH_UNMAPPED: "x",
}


class Engine(Core):
    """One emulated AArch64 CPU."""

    def __init__(self, cpu: CpuModel) -> None:
        super().__init__(cpu)
        self._block_callbacks: list[object] = []  # what unicorn calls must live as long as it

    def on_exception(self, callback: Callable[[int], None]) -> Hook:
        """Call back with QEMU's exception index whenever the CPU raises an exception."""
        return self._hook(unicorn_const.UC_HOOK_INTR, lambda _uc, index, _data: callback(index))

    def on_address(self, address: int, callback: Callable[[int], None]) -> Hook:
        """Call back before the instruction at the virtual `address` executes.

        Beside the instruction counter, which unicorn calls directly while it is the only hook of its kind,
        each such hook slows every instruction. `set_exits` does not.
        """
        hook = self._hook(
            unicorn_const.UC_HOOK_CODE, lambda _uc, va, _size, _data: callback(va), begin=address, end=address
        )
        hook.address = address
        self.flush_code()
        return hook

    def on_every_instruction(self, callback: Callable[[int], None]) -> Hook:
        """Call back before every instruction. Slow: about a microsecond each."""
        return self._hook(unicorn_const.UC_HOOK_CODE, lambda _uc, va, _size, _data: callback(va))

    def on_memory(
        self, start: int, end: int, access: Literal["r", "w", "rw"], callback: Callable[[MemoryAccess], None]
    ) -> Hook:
        """Call back while an instruction accesses the physical range [start, end), before a store is made.

        The callback must not stop the CPU: the instruction would execute a second time afterwards.
        """

        def forward(_uc: Uc, kind: int, pa: int, size: int, value: int, _data: object) -> None:
            if pa < end and start < pa + size:
                write = kind == unicorn_const.UC_MEM_WRITE
                callback(MemoryAccess(write, pa, size, value & ((1 << 8 * size) - 1) if write else 0))

        first = max(0, start - _WIDEST)  # unicorn looks only at an access's first byte
        hook = self._hook(_ACCESS_HOOKS[access], forward, begin=first, end=end - 1)
        self.flush_code()
        return hook

    def on_unbacked(self, callback: Callable[[Unbacked], None]) -> None:
        """Call back when a physical address is accessed that nothing answers; `run` then ends.

        The hooks leave out the memory that is mapped by now. One that covered it would send each of its
        stores the slow way: three times the time of a store, thirty times that of DC ZVA.
        """

        def forward(_uc: Uc, kind: int, pa: int, _size: int, _value: int, _data: object) -> bool:
            callback(Unbacked(_UNBACKED[kind], pa))
            return False

        for begin, end in ((0, self._backed[0]), (self._backed[1], 1 << 64)):
            if begin < end:  # unicorn takes the last address, and begin > end as "everywhere"
                self._hook(unicorn_const.UC_HOOK_MEM_UNMAPPED, forward, begin=begin, end=end - 1)

    def on_mrs(self, address: int, callback: Callable[[Encoding], int | None]) -> Hook:
        """Let `callback` give the result of the MRS at the virtual `address`; None leaves it to the CPU."""

        def answer(uc: Uc, target: int, register: Any, _data: object) -> bool:
            encoding = Encoding(register.op0, register.op1, register.crn, register.crm, register.op2)
            value = callback(encoding)
            if value is not None:
                uc.reg_write(target, value)
            return value is not None

        hook = self._hook(
            unicorn_const.UC_HOOK_INSN, answer, begin=address, end=address, aux1=arm64_const.UC_ARM64_INS_MRS
        )
        self.flush_code()
        return hook

    def trace_blocks(self, trace: array[int]) -> None:
        """Append the virtual address of each translated block that the CPU enters to `trace`, an array("Q").

        No Python code runs for it: unicorn calls `array.insert(engine, address)` itself, where the engine's
        address, as an index, is beyond the end. It costs a tenth of what a hook of the usual kind does.
        """
        callback = _BLOCK_ENTERED(trace.insert)
        self._block_callbacks.append(callback)
        handle, everywhere = ctypes.c_size_t(), (ctypes.c_uint64(1), ctypes.c_uint64(0))
        where = ctypes.cast(callback, ctypes.c_void_p)
        kind = unicorn_const.UC_HOOK_BLOCK
        status = uclib.uc_hook_add(self._cpu._uch, ctypes.byref(handle), kind, where, None, *everywhere)
        if status != unicorn_const.UC_ERR_OK:
            raise MachineError(f"unicorn refuses to trace blocks: {UcError(status)}")
        self.flush_code()

    def on_blocks(self, ranges: Iterable[tuple[int, int]], callback: Callable[[int], None]) -> list[Hook]:
        """Call back with its virtual address when a block that starts in one of [first, last] is entered."""
        kind, forward = unicorn_const.UC_HOOK_BLOCK, lambda _uc, va, _size, _data: callback(va)
        hooks = [self._hook(kind, forward, begin=first, end=last) for first, last in ranges]
        self.flush_code()
        return hooks

    def on_system(
        self,
        kind: Literal["sys", "msr"],
        instructions: Iterable[tuple[int, Encoding]],
        callback: Callable[[int, Encoding, int], None],
    ) -> list[Hook]:
        """Call back with address, register and value before a SYS or MSR at one of the addresses executes."""
        hooks = [self._system_hook(kind, pc, encoding, callback) for pc, encoding in instructions]
        self.flush_code()
        return hooks

    def _system_hook(
        self, kind: str, pc: int, encoding: Encoding, callback: Callable[[int, Encoding, int], None]
    ) -> Hook:
        read, offset = ctypes.c_uint64.from_address, UcRegCP64.val.offset

        def forward(_uc: Uc, _target: int, register: int, _data: object) -> int:
            callback(pc, encoding, read(register + offset).value)
            return 0  # and let it execute

        function = uccallback(self._cpu, HOOK_INSN_SYS_CFUNC)(forward)
        instruction = ctypes.c_int(_SYSTEM[kind])
        return Hook(self, self._raw_hook(unicorn_const.UC_HOOK_INSN, function, pc, pc, instruction))

    def translate_by(self, fill: Callable[[int, Access], tuple[int, int] | None]) -> None:
        """Let `fill(va, access)` translate, not the tables: a physical address and rights (rwx: 1, 2, 4).

        It is asked for each KiB, again after `flush_tlb`, and must not call that. None ends the run before
        the instruction, and `refused` is the address then.
        """

        def forward(_uc: Uc, va: int, kind: int, entry: Any, _data: object) -> bool:
            answer = fill(va, _FILLS[kind])
            if answer is not None:
                entry[0].paddr, entry[0].perms = answer
            return answer is not None

        self._cpu.ctl_set_tlb_mode(unicorn_const.UC_TLB_VIRTUAL)
        function = uccallback(self._cpu, HOOK_TLB_FILL_CFUNC)(forward)
        self._raw_hook(unicorn_const.UC_HOOK_TLB_FILL, function, 1, 0)  # 1, 0: everywhere
        self.flush_tlb()
        self.flush_code()

    @property
    def refused(self) -> int:
        """The virtual address that was not translated, to the byte."""
        return int(self._refused.value)

    def on_store(self, callback: Callable[[int, int, int], None]) -> RangeHook:
        """A callback for stores, with physical address, size and value; it covers nothing yet."""

        def forward(_uc: Uc, _kind: int, pa: int, size: int, value: int, _data: object) -> None:
            callback(pa, size, value & ((1 << 8 * size) - 1))

        function = uccallback(self._cpu, HOOK_MEM_ACCESS_CFUNC)(forward)
        return RangeHook(self, unicorn_const.UC_HOOK_MEM_WRITE, function)

    def on_access(self, ranges: int, callback: Callable[[int, int, bool], None]) -> RangeHook:
        """A callback for loads and stores, with physical address, size and whether it is a store.

        It has room for so many ranges at a time: all loads are slower by them, a little each.
        """

        def forward(_uc: Uc, kind: int, pa: int, size: int, _value: int, _data: object) -> None:
            callback(pa, size, kind == unicorn_const.UC_MEM_WRITE)

        hook = RangeHook(self, _ACCESS_HOOKS["rw"], uccallback(self._cpu, HOOK_MEM_ACCESS_CFUNC)(forward))
        hook.reserve(ranges)
        self.flush_code()
        return hook

    def on_block(self, callback: Callable[[int, int], None]) -> RangeHook:
        """A callback for blocks, with virtual address and size in bytes; it covers nothing yet.

        Blocks that are translated by the time that they are covered do not call back.
        """

        def forward(_uc: Uc, va: int, size: int, _data: object) -> None:
            callback(va, size)

        function = uccallback(self._cpu, HOOK_CODE_CFUNC)(forward)
        # Unicorn calls the only hook of this kind directly, wherever it has been moved since.
        self.cover(unicorn_const.UC_HOOK_BLOCK, function, NOWHERE, NOWHERE + 1)
        return RangeHook(self, unicorn_const.UC_HOOK_BLOCK, function)

    def cover(self, kind: int, function: object, start: int, end: int) -> int:
        """See `RangeHook.cover`."""
        return self._raw_hook(kind, function, start, end - 1)

    def _raw_hook(self, kind: int, function: object, begin: int, end: int, *more: object) -> int:
        """Unicorn's hook_add would make callbacks that are slower."""
        return int(self._cpu._Uc__do_hook_add(kind, function, begin, end, *more))  # type: ignore[attr-defined]

    def placed(self, handle: int) -> PlacedHook:
        """A hook as it can be changed without being registered again."""
        assert self._layout is not None
        return PlacedHook(handle + self._layout.hook)

    def _hook(self, kind: int, callback: Callable[..., object], **where: int) -> Hook:
        return Hook(self, self._cpu.hook_add(kind, callback, **where))

    def remove_hook(self, hook: Hook) -> None:
        """Take a callback away; see `Hook.remove`."""
        if self._uc is not None:
            self._uc.hook_del(hook.handle)
            self.flush_code()
