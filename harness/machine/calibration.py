# SPDX-License-Identifier: BSD-3-Clause
"""Finding what unicorn keeps in its structures but not in its interface.

The syndrome of an exception, the instruction counter, the address that a translator has refused, and what a
hook is for: their offsets are found by experiment once in a process, never assumed.
"""

from __future__ import annotations

import ctypes
import struct
from functools import cache

from harness.arch.sysreg import SYSTEM_REGISTERS
from harness.errors import MachineError
from harness.machine.engine import UNLIMITED, CpuModel, Engine
from harness.machine.records import EXCEPTION, Layout

_BASE = 0x40000000
_SIZE = 0x10000
_LIMIT = 0x0123_4567_89AB  # a count limit that no other field of the structure holds
_PROBES = (0x0000_0071_2345_6788, 0x0000_0066_5544_3320)  # unmapped: two data aborts
_HOOK_SIZE = 64  # bytes of unicorn's record of a hook
_NOP, _STR_X1_X2 = 0xD503201F, 0xF9000041
_ALL = 7  # read, write, execute


@cache
def layout_of(cpu: CpuModel) -> Layout:
    """The layout of this build of unicorn. Raises MachineError when it cannot be found."""
    engine = Engine(cpu)
    ram = (ctypes.c_char * (2 * _SIZE))()
    host = (ctypes.addressof(ram) + _SIZE - 1) & ~(_SIZE - 1)
    try:
        engine.map_memory(_BASE, _SIZE, host)
        counter, exception, hook = _find_counter(engine), _find_exception(engine), _find_hook(engine)
        return Layout(exception, counter, _find_refused(engine), hook)
    finally:
        engine.close()


def _find_counter(engine: Engine) -> int:
    """Run 6 instructions with a peculiar limit: the counter stands beside the limit and says 6."""
    engine._cpu.mem_write(_BASE, struct.pack("<7I", *[_NOP] * 6, _STR_X1_X2))
    engine.write("x2", _PROBES[0])
    hook = engine.on_exception(lambda _index: engine.stop())
    engine.run(_BASE, _LIMIT)
    hook.remove()
    blob = _structure(engine)
    found = [
        at - 8 for at in range(8, len(blob) - 8, 8) if struct.unpack_from("<QQ", blob, at - 8) == (7, _LIMIT)
    ]
    if len(found) != 1:
        raise MachineError("this build of unicorn keeps its instruction counter elsewhere; install 2.1.4")
    return found[0]


def _structure(engine: Engine) -> bytes:
    with open("/proc/self/mem", "rb", buffering=0) as memory:
        memory.seek(engine._structure())
        return memory.read(0x2000)


def _find_refused(engine: Engine) -> int:
    """Let a translator refuse two known addresses: the field holds exactly these."""
    engine.translate_by(lambda va, _access: (va, _ALL) if va < _BASE + _SIZE else None)
    engine._cpu.mem_write(_BASE, struct.pack("<I", _STR_X1_X2))
    found = set(range(0, 0x2000, 8))
    for va in _PROBES:
        engine.write("x2", va)
        engine.run(_BASE, UNLIMITED)
        blob = _structure(engine)
        found &= {at for at in found if blob[at : at + 8] == va.to_bytes(8, "little")}
    if len(found) != 1:
        raise MachineError("this build of unicorn keeps refused addresses elsewhere; install 2.1.4")
    return found.pop()


def _find_hook(engine: Engine) -> int:
    """Hook a peculiar address: it stands there as first and last one, and the callback behind."""
    hook = engine.on_address(_PROBES[0], lambda _: None)
    function = ctypes.cast(engine._cpu._callbacks[hook.handle], ctypes.c_void_p).value
    wanted = struct.pack("<3Q", _PROBES[0], _PROBES[0], function)
    found = ctypes.string_at(hook.handle, _HOOK_SIZE).find(wanted)
    hook.remove()
    if found < 0:
        raise MachineError("this build of unicorn keeps its hooks otherwise; install 2.1.4")
    return found


def _find_exception(engine: Engine) -> int:
    """Provoke two data aborts at known addresses: the record holds exactly these."""
    engine.write_system(SYSTEM_REGISTERS["SCR_EL3"], 0x431)
    engine.write_system(SYSTEM_REGISTERS["HCR_EL2"], 1 << 31)
    code = _BASE + 0x1000
    engine._cpu.mem_write(code, struct.pack("<I", _STR_X1_X2))
    engine._cpu.mem_write(_BASE + 0x2000 + 8, struct.pack("<Q", _BASE | 0x401))  # a 1 GiB block, AF
    engine.write_system(SYSTEM_REGISTERS["TCR_EL1"], 25 | 1 << 23 | 2 << 32)
    engine.write_system(SYSTEM_REGISTERS["TTBR0_EL1"], _BASE + 0x2000)
    sctlr = SYSTEM_REGISTERS["SCTLR_EL1"]
    engine.write_system(sctlr, engine.read_system(sctlr) | 1)
    found = set.intersection(*(_records(engine, code, va) for va in _PROBES))
    if len(found) != 1:
        raise MachineError("this build of unicorn keeps its exception state elsewhere; install 2.1.4")
    engine.write_system(sctlr, engine.read_system(sctlr) & ~1)
    return found.pop()


def _records(engine: Engine, code: int, va: int) -> set[int]:
    """Offsets in a saved context at which an exception record for a write abort at `va` stands."""
    expected = (0x96000045, va, 1)  # EC 0x25, IL, WnR, translation fault level 1, to EL1
    hook = engine.on_exception(lambda _index: engine.stop())
    engine.write("x2", va)
    engine.run(code, UNLIMITED)
    hook.remove()
    blob = bytes(engine.save())
    offsets = range(0, len(blob) - EXCEPTION.size, 4)
    return {at for at in offsets if _syndrome_address_level(blob, at) == expected}


def _syndrome_address_level(blob: bytes, at: int) -> tuple[int, int, int]:
    syndrome, _fsr, address, level = EXCEPTION.unpack_from(blob, at)
    return syndrome, address, level
