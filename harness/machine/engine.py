# SPDX-License-Identifier: BSD-3-Clause
"""The emulated CPU. The only module that imports unicorn; everything it does not say, unicorn hides.

An `Engine` runs instructions, reads and writes CPU state, and calls back. It takes no exceptions, has no
devices and knows no policy: `harness.machine.machine` builds a machine out of it.

Counting: unicorn's own instruction limit installs a counter in C that is called for each instruction. The
counter is a field of unicorn's structure, found by `calibration.py`; reading it costs nothing.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from unicorn import arm64_const, unicorn_const
from unicorn.unicorn_py3.arch.arm64 import HOOK_INSN_SYS_CFUNC, UcAArch64, UcRegCP64
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
from harness.arch.sysreg import SYSTEM_REGISTERS, Encoding
from harness.errors import MachineError
from harness.machine.cycles import break_cycles
from harness.machine.hooks import NOWHERE, Hook, PlacedHook, RangeHook
from harness.machine.records import EXCEPTION, Layout, MemoryAccess, PendingException, Unbacked

if TYPE_CHECKING:
    from array import array

CpuModel = Literal["a72", "max"]
CPU_MODELS: Mapping[CpuModel, int] = {
    "a72": arm64_const.UC_CPU_ARM64_A72,
    "max": arm64_const.UC_CPU_ARM64_MAX,
}

# QEMU's exception indices, as UC_HOOK_INTR reports them.
UNDEFINED, SVC, FETCH_ABORT, DATA_ABORT, BREAKPOINT, HVC, SMC = 1, 2, 3, 4, 7, 11, 13

UNLIMITED = (1 << 62) - 1
_EL3H = 0x3CD
_CONTEXTIDR = SYSTEM_REGISTERS["CONTEXTIDR_EL1"]
_REMOVE_CODE = (unicorn_const.UC_CTL_TB_REMOVE_CACHE, unicorn_const.UC_CTL_IO_WRITE)
_EXITS = (unicorn_const.UC_CTL_UC_EXITS, unicorn_const.UC_CTL_IO_WRITE)
_CP_REG = arm64_const.UC_ARM64_REG_CP_REG

_NAMES: dict[str, int] = {f"x{n}": getattr(arm64_const, f"UC_ARM64_REG_X{n}") for n in range(31)}
_NAMES |= {f"q{n}": getattr(arm64_const, f"UC_ARM64_REG_Q{n}") for n in range(32)}
_NAMES |= {
    "fp": arm64_const.UC_ARM64_REG_X29,
    "lr": arm64_const.UC_ARM64_REG_X30,
    "sp": arm64_const.UC_ARM64_REG_SP,
    "pc": arm64_const.UC_ARM64_REG_PC,
    "pstate": arm64_const.UC_ARM64_REG_PSTATE,
    "fpcr": arm64_const.UC_ARM64_REG_FPCR,
    "fpsr": arm64_const.UC_ARM64_REG_FPSR,
}
GENERAL_REGISTERS = (*(f"x{n}" for n in range(31)), "sp", "pc", "pstate")
REGISTER_NAMES = tuple(_NAMES)
_PC = arm64_const.UC_ARM64_REG_PC
_FRAME = (ctypes.c_int * 3)(*(_NAMES[name] for name in ("sp", "fp", "lr")))
_SYSTEM = {"sys": arm64_const.UC_ARM64_INS_SYS, "msr": arm64_const.UC_ARM64_INS_MSR}


class Engine:
    """One emulated AArch64 CPU."""

    def __init__(self, cpu: CpuModel) -> None:
        self._uc: UcAArch64 | None = _create(cpu)
        self._scratch = self._cpu.context_save()
        self._layout: Layout | None = None
        self._frame = (ctypes.c_uint64 * len(_FRAME))()
        words = range(ctypes.addressof(self._frame), ctypes.addressof(self._frame) + 8 * len(_FRAME), 8)
        self._frame_pointers = (ctypes.c_void_p * len(_FRAME))(*words)
        self._counter, self._refused = ctypes.c_uint64(0), ctypes.c_uint64(0)
        self.retired_limit = UNLIMITED
        self._backed = (0, 0)  # the physical addresses of memory
        self._block_callbacks: list[object] = []  # what unicorn calls must live as long as it

    @property
    def _cpu(self) -> UcAArch64:
        if self._uc is None:
            raise MachineError("the machine is closed; make a new one")
        return self._uc

    def use_layout(self, layout: Layout) -> None:
        """Say where exception state and counter are: `pending` and `attempted` need to know."""
        self._layout = layout
        self._counter = ctypes.c_uint64.from_address(self._structure() + layout.counter)
        self._refused = ctypes.c_uint64.from_address(self._structure() + layout.refused)

    @property
    def is_open(self) -> bool:
        """Whether there still is a CPU."""
        return self._uc is not None

    def _structure(self) -> int:
        return int(self._cpu._uch.value or 0)

    def close(self) -> None:
        """Free the CPU, and the reference cycles that its Python callbacks make."""
        if self._uc is not None:
            self._counter, self._refused = ctypes.c_uint64(self._counter.value), ctypes.c_uint64(0)
            break_cycles(self._uc)
            self._uc = None  # the last reference: unicorn's finalizer frees the CPU

    # -- memory ---------------------------------------------------------------------------------------

    def map_memory(self, base: int, size: int, host_address: int) -> None:
        """Let the CPU see host memory at the physical address `base`."""
        self._cpu.mem_map_ptr(base, size, unicorn_const.UC_PROT_ALL, host_address)
        self._backed = (base, base + size)

    def map_device(
        self, base: int, size: int, read: Callable[[int, int], int], write: Callable[[int, int, int], None]
    ) -> None:
        """Call `read(offset, size)` and `write(offset, size, value)` for accesses to a device."""
        self._cpu.mmio_map(
            base,
            size,
            lambda _uc, offset, width, _data: read(offset, width),
            None,
            lambda _uc, offset, width, value, _data: write(offset, width, value),
            None,
        )

    # -- registers ------------------------------------------------------------------------------------

    def read(self, name: str) -> int:
        """A general, vector or state register by its lower-case name."""
        value = self._cpu.reg_read(_NAMES[name])
        return int(value)

    def read_frame(self) -> tuple[int, int, int]:
        """sp, x29 and x30, in the time of one register."""
        uclib.uc_reg_read_batch(self._cpu._uch, _FRAME, self._frame_pointers, len(_FRAME))
        sp, x29, x30 = self._frame
        return sp, x29, x30

    def write(self, name: str, value: int) -> None:
        """Set a register. A new `pstate` does not switch stack pointers: see `cpu_state`."""
        self._cpu.reg_write(_NAMES[name], value)

    def read_system(self, register: Encoding) -> int:
        """A system register, without the access checks of the current exception level."""
        op0, op1, crn, crm, op2 = register
        return int(self._cpu.reg_read(_CP_REG, (crn, crm, op0, op1, op2)))

    def write_system(self, register: Encoding, value: int) -> None:
        """Set a system register, or run a system instruction; also refreshes QEMU's cached CPU flags."""
        op0, op1, crn, crm, op2 = register
        self._cpu.reg_write(_CP_REG, (crn, crm, op0, op1, op2, value))

    @property
    def pc(self) -> int:
        """The instruction that executes; exact in every callback."""
        return int(self._cpu.reg_read(_PC))

    # -- running --------------------------------------------------------------------------------------

    def run(self, pc: int, limit: int) -> str | None:
        """Run from `pc` for at most `limit` instructions. Returns unicorn's complaint, or None.

        Exceptions raised by callbacks are raised here, with the CPU stopped.
        """
        self.retired_limit = limit
        try:
            self._cpu.emu_start(pc, 0, count=limit)
        except UcError as error:
            if self._cpu._hook_exception is not None:
                raise self._cpu._hook_exception from error
            return str(error)
        return None

    def stop(self) -> None:
        """From a callback: stop before the next instruction."""
        self._cpu.emu_stop()

    def set_exits(self, addresses: Collection[int]) -> None:
        """End each run before the instruction at one of these virtual addresses, which is not counted.

        It is decided when code is translated and costs nothing anywhere else: code that is translated already
        has to be forgotten. A run that starts at one ends at once. Two kinds of address are not for it. At
        the first instruction of a page QEMU takes an abort if the page before is not mapped, because the
        block is empty; and after a WFI, which ends a run as well, nobody can tell the two.
        """
        array = (ctypes.c_uint64 * max(1, len(addresses)))(*addresses)
        where = ctypes.cast(array, ctypes.c_void_p)
        self._cpu.ctl(*_EXITS, where, ctypes.c_size_t(len(addresses)))

    @property
    def attempted(self) -> int:
        """Instructions that the current or last `run` started to execute."""
        return min(self._counter.value, self.retired_limit)

    @property
    def limit_reached(self) -> bool:
        """Whether the last `run` ended at its limit."""
        return self._counter.value > self.retired_limit

    def pending(self) -> PendingException:
        """The exception that the interrupt callback is about."""
        if self._layout is None:
            raise MachineError("the engine has no layout: use_layout comes first")
        self._cpu.context_update(self._scratch)
        where = ctypes.cast(self._scratch.context, ctypes.c_void_p).value or 0
        raw = ctypes.string_at(where + self._layout.exception, EXCEPTION.size)
        syndrome, _fsr, address, target_el = EXCEPTION.unpack(raw)
        return PendingException(syndrome, address, target_el)

    # -- state ----------------------------------------------------------------------------------------

    def save(self) -> Any:
        """The CPU's registers, to be given to `restore`."""
        return self._cpu.context_save()

    def restore(self, context: Any) -> None:
        """Put registers back and forget all cached translations of addresses."""
        self._cpu.context_restore(context)
        self.flush_tlb()

    def flush_tlb(self) -> None:
        """Forget all cached translations of addresses."""
        self._cpu.ctl(unicorn_const.UC_CTL_TLB_FLUSH, unicorn_const.UC_CTL_IO_WRITE)

    def flush_code(self) -> None:
        """Forget all translated code."""
        self._cpu.ctl_flush_tb()

    def forget_code(self, runs: Iterable[tuple[int, int]]) -> None:
        """Forget translated code of the physical ranges [start, end).

        Unicorn wants virtual addresses. At EL3 these are physical: nothing ever turns its MMU on. The TLB of
        the other levels is not touched.
        """
        pstate = self.read("pstate")
        self._enter(_EL3H)
        for start, end in runs:  # as ctl_remove_cache does it, in half the time
            self._cpu.ctl(*_REMOVE_CODE, ctypes.c_uint64(start), ctypes.c_uint64(end))
        self._enter(pstate)

    def _enter(self, pstate: int) -> None:
        """PSTATE alone, without its stack pointer, and QEMU's cached flags derived from it."""
        self.write("pstate", pstate)
        self.refresh()

    def refresh(self) -> None:
        """Make QEMU derive its cached flags from PSTATE again: writing any system register does."""
        self.write_system(_CONTEXTIDR, self.read_system(_CONTEXTIDR))

    # -- callbacks ------------------------------------------------------------------------------------

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


def _create(cpu: CpuModel) -> UcAArch64:
    if cpu not in CPU_MODELS:
        raise MachineError(f"unknown CPU model {cpu!r}; there are {', '.join(CPU_MODELS)}")
    uc = Uc(unicorn_const.UC_ARCH_ARM64, unicorn_const.UC_MODE_ARM)
    assert isinstance(uc, UcAArch64)
    uc.ctl_set_cpu_model(CPU_MODELS[cpu])
    # Stop at no address of unicorn's own choosing: its `until` would be one exit more. See `set_exits`.
    uc.ctl(unicorn_const.UC_CTL_UC_USE_EXITS, unicorn_const.UC_CTL_IO_WRITE, ctypes.c_int(1))
    return uc
