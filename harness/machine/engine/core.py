# SPDX-License-Identifier: BSD-3-Clause
"""What the CPU is and does: memory, registers, running, state."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Collection, Iterable
from typing import Any

from unicorn import arm64_const, unicorn_const
from unicorn.unicorn_py3.arch.arm64 import UcAArch64
from unicorn.unicorn_py3.unicorn import Uc, UcError, uclib

from harness.arch.sysreg import SYSTEM_REGISTERS, Encoding
from harness.errors import MachineError
from harness.machine.cycles import break_cycles
from harness.machine.engine.names import CPU_MODELS, REGISTERS, CpuModel
from harness.machine.records import EXCEPTION, Layout, PendingException

UNLIMITED = (1 << 62) - 1
_EL3H = 0x3CD
_CONTEXTIDR = SYSTEM_REGISTERS["CONTEXTIDR_EL1"]
_REMOVE_CODE = (unicorn_const.UC_CTL_TB_REMOVE_CACHE, unicorn_const.UC_CTL_IO_WRITE)
_EXITS = (unicorn_const.UC_CTL_UC_EXITS, unicorn_const.UC_CTL_IO_WRITE)
_CP_REG = arm64_const.UC_ARM64_REG_CP_REG
_PC = arm64_const.UC_ARM64_REG_PC
_FRAME = (ctypes.c_int * 3)(*(REGISTERS[name] for name in ("sp", "fp", "lr")))


class Core:
    """The CPU without its callbacks, which see: `harness.machine.engine.callbacks`."""

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
        value = self._cpu.reg_read(REGISTERS[name])
        return int(value)

    def read_frame(self) -> tuple[int, int, int]:
        """sp, x29 and x30, in the time of one register."""
        uclib.uc_reg_read_batch(self._cpu._uch, _FRAME, self._frame_pointers, len(_FRAME))
        sp, x29, x30 = self._frame
        return sp, x29, x30

    def write(self, name: str, value: int) -> None:
        """Set a register. A new `pstate` does not switch stack pointers: see `cpu_state`."""
        self._cpu.reg_write(REGISTERS[name], value)

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


def _create(cpu: CpuModel) -> UcAArch64:
    if cpu not in CPU_MODELS:
        raise MachineError(f"unknown CPU model {cpu!r}; there are {', '.join(CPU_MODELS)}")
    uc = Uc(unicorn_const.UC_ARCH_ARM64, unicorn_const.UC_MODE_ARM)
    assert isinstance(uc, UcAArch64)
    uc.ctl_set_cpu_model(CPU_MODELS[cpu])
    # Stop at no address of unicorn's own choosing: its `until` would be one exit more. See `set_exits`.
    uc.ctl(unicorn_const.UC_CTL_UC_USE_EXITS, unicorn_const.UC_CTL_IO_WRITE, ctypes.c_int(1))
    return uc
