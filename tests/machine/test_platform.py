# SPDX-License-Identifier: BSD-3-Clause
"""What surrounds the CPU: memory, console, firmware, device tree, identification, loading."""

from __future__ import annotations

import struct

import fdt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import MachineError
from harness.machine import Machine

CODE, RAM, UART, SIZE = 0x4020_0000, 0x4000_0000, 0x0900_0000, 64 << 20
AF, EL0 = 1 << 10, 1 << 6
DEVICE = 2 << 2
HOLE = 0x2_0000_0000


def tree_of(machine):
    return fdt.parse_dtb(machine.memory.read(RAM, 0x4000))


def test_physical_memory_reads_what_was_written(machine):
    """Byte for byte, across pages, up to the last byte."""
    machine.memory.write(0x4100_0FFD, b"abcdef")
    assert machine.memory.read(0x4100_0FFC, 8) == b"\0abcdef\0"
    machine.memory.write(RAM + SIZE - 2, b"zz")
    assert machine.memory.read(RAM + SIZE - 3, 3) == b"\0zz"
    assert machine.memory.read(RAM, 0) == b""


@pytest.mark.parametrize(
    ("pa", "size"), [(RAM - 1, 2), (RAM + SIZE - 1, 2), (UART, 4), (0, 1), (1 << 63, 8), (RAM, -1), (-8, 8)]
)
def test_memory_outside_ram_is_refused(machine, pa, size):
    """Reads and writes name the address and where RAM is."""
    with pytest.raises(MachineError, match="RAM is"):
        machine.memory.read(pa, size)
    if size > 0:
        with pytest.raises(MachineError, match="RAM is"):
            machine.memory.write(pa, bytes(size))


def test_virtual_memory_crosses_pages_that_are_apart(bench):
    """Three pages scattered in RAM read and write as one range, whatever their permissions."""
    for number, pa in enumerate((0x4150_0000, 0x4140_0000, 0x4130_0000)):
        bench.map(HOLE + 0x1000 * number, pa, AF | 1 << 7)
    data = bytes(range(256)) * 24
    bench.machine.write_virtual(HOLE + 0x800, data)
    assert bench.machine.read_virtual(HOLE + 0x800, len(data)) == data
    assert bench.machine.memory.read(0x4140_0000, 16) == data[0x800:0x810]


def test_virtual_memory_across_a_hole_writes_nothing(bench):
    """The error names the address that is not mapped and shows its walk; the mapped part is untouched."""
    bench.map(HOLE, 0x4150_0000)
    with pytest.raises(
        MachineError, match=rf"{HOLE + 0x1000:#x} is not mapped: translation fault, level 3\nwalk .*\n  L1"
    ):
        bench.machine.write_virtual(HOLE + 0xFF0, bytes(range(1, 33)))
    assert bench.machine.memory.read(0x4150_0FF0, 16) == bytes(16)


@pytest.mark.parametrize(("va", "size"), [((1 << 64) - 8, 16), (-1, 1), (0, -1)])
def test_impossible_virtual_ranges_are_refused(bench, va, size):
    """A range beyond 2**64 or of negative size."""
    with pytest.raises(MachineError, match="no virtual range"):
        bench.machine.read_virtual(va, size)


def test_virtual_is_physical_with_the_mmu_off(machine):
    """Before the MMU is on there is nothing to translate."""
    machine.memory.write(CODE, b"early")
    assert machine.read_virtual(CODE, 5) == b"early"
    with pytest.raises(MachineError, match="not RAM"):
        machine.read_virtual(UART, 4)


def test_another_ttbr0_reads_another_address_space(bench):
    """The tables of a space that is not active can be given."""
    other = 0x4120_0000
    bench.entry(other, 0, 0x4000_0000 | AF | 1)
    bench.put(0x4150_0000, b"other")
    assert bench.machine.read_virtual(0x150_0000, 5, ttbr0=other | 7 << 48) == b"other"
    with pytest.raises(MachineError, match="not mapped"):
        bench.machine.read_virtual(0x150_0000, 5)


def test_console_collects_text(make_machine, asm):
    """Characters sent to the PL011 are the console's text, and go to the sink as they come."""
    heard = []
    machine = make_machine(console_sink=heard.append)
    program = asm().mov(1, UART)
    for byte in "Grüße\n".encode():
        program.mov(0, byte).label(f"wait{len(program._words)}").ldr(2, 1, 0x18).strb(0, 1)
    machine.memory.write(CODE, program.wfi().code())
    machine.registers["pc"] = CODE
    assert machine.run().kind == "wfi"
    assert machine.console == "Grüße\n"
    assert "".join(heard).encode("latin-1").decode() == "Grüße\n"
    assert machine.registers["x2"] == 0x90  # transmitter and receiver empty


def test_uart_identifies_itself_and_keeps_its_registers(bench, asm):
    """A driver that reads back what it wrote, or looks for a PrimeCell, is content."""
    bench.map(0x0, 0x0, AF | DEVICE, level=1)
    program = asm().mov(1, UART).mov(0, 0x70).str(0, 1, 0x28).ldr(2, 1, 0x28).ldr(3, 1, 0xFF0).wfi()
    assert bench.run(program).kind == "wfi"
    assert bench.machine.registers["x2"] & 0xFFFF_FFFF == 0x70
    assert bench.machine.registers["x3"] & 0xFF == 0x0D


@pytest.mark.parametrize(("entry_el", "emit"), [(1, "hvc"), (2, "smc")])
@pytest.mark.parametrize(
    ("function", "kind"),
    [(0x8400_0008, "poweroff"), (0x8400_0009, "reset"), (0x8400_0002, "poweroff"), (0xC400_0001, "wfi")],
)
def test_psci_calls_that_end_a_run(make_machine, asm, entry_el, emit, function, kind):
    """SYSTEM_OFF, SYSTEM_RESET, CPU_OFF, CPU_SUSPEND by the conduit of the entry level."""
    machine = make_machine(entry_el=entry_el)
    machine.memory.write(CODE, getattr(asm().mov(0, function), emit)().code())
    machine.registers["pc"] = CODE
    stop = machine.run()
    assert (stop.kind, stop.instructions) == (kind, 5)


@pytest.mark.parametrize(
    ("function", "argument", "result"),
    [
        (0x8400_0000, 0, 0x10001),
        (0x8400_000A, 0x8400_0008, 0),
        (0x8400_000A, 0x8400_0099, -1),
        (0x8400_0006, 0, 2),
        (0xC400_0003, 0, -4),
        (0xC400_0003, 1, -2),
        (0xC400_0004, 0, 0),
        (0xC400_0004, 1, -2),
        (0x1234, 0, -1),
    ],
)
def test_psci_calls_that_return(bench, asm, function, argument, result):
    """VERSION, FEATURES, MIGRATE_INFO_TYPE, CPU_ON, AFFINITY_INFO, and NOT_SUPPORTED for the rest."""
    assert bench.run(asm().mov(0, function).mov(1, argument).hvc().wfi()).kind == "wfi"
    assert bench.machine.registers["x0"] == result & (1 << 64) - 1


def test_the_other_conduit_is_undefined(bench, asm):
    """Without EL3, SMC is an undefined instruction, and ELR is its address."""
    bench.run_to_vector(asm().nop().smc(), 0x200)
    assert bench.machine.sysreg["ESR_EL1"] == 1 << 25
    assert bench.machine.sysreg["ELR_EL1"] == CODE + 4


@pytest.mark.parametrize(("entry_el", "method"), [(1, "hvc"), (2, "smc")])
def test_device_tree_describes_the_machine(make_machine, entry_el, method):
    """Memory, console, firmware and boot arguments as they are, at the start of RAM."""
    tree = tree_of(make_machine(entry_el=entry_el, bootargs="tour quiet", ram_size=3 << 30))
    assert list(tree.get_property("reg", "/memory@40000000")) == [0, RAM, 0, 3 << 30]
    assert tree.get_property("bootargs", "/chosen").value == "tour quiet"
    assert tree.get_property("stdout-path", "/chosen").value == "/pl011@9000000"
    assert tree.get_property("method", "/psci").value == method
    assert "arm,pl011" in list(tree.get_property("compatible", "/pl011@9000000"))


def test_initrd_is_in_memory_and_in_the_device_tree(make_machine):
    """Its range [start, end) holds exactly its bytes."""
    archive = b"070701" + bytes(range(256)) * 20
    machine = make_machine(initrd=archive)
    chosen = [tree_of(machine).get_property(f"linux,initrd-{end}", "/chosen") for end in ("start", "end")]
    start, end = (cells[0] << 32 | cells[1] for cells in map(list, chosen))
    assert end - start == len(archive)
    assert machine.memory.read(start, len(archive)) == archive


def test_reserved_ranges_are_in_the_device_tree(make_machine):
    """Each range that the guest must not use is a child of /reserved-memory."""
    tree = tree_of(make_machine(reserved=[(0x4300_0000, 0x4300_2000)]))
    assert list(tree.get_property("reg", "/reserved-memory/harness@43000000")) == [0, 0x4300_0000, 0, 0x2000]


def test_load_places_segments_and_zeroes_the_rest(machine, segment, asm):
    """Data at its physical address, bss cleared, PC at the entry, x0 zero, the CPU as after reset."""
    machine.memory.write(0x4100_0000, b"\xff" * 32)
    machine.registers["x0"] = 5
    machine.sysreg["SCTLR_EL1"] |= 1
    machine.load([segment(CODE, asm().wfi().code()), segment(0x4100_0000, b"data", 16)], CODE)
    assert machine.memory.read(0x4100_0000, 20) == b"data" + bytes(12) + b"\xff" * 4
    assert (machine.registers["pc"], machine.registers["x0"]) == (CODE, 0)
    assert machine.sysreg["SCTLR_EL1"] & 1 == 0
    assert machine.run().kind == "wfi"


def test_device_tree_pointer_in_x0_as_linux_wants_it(make_machine, segment, asm):
    """dtb_in_x0 passes its address."""
    machine = make_machine(dtb_in_x0=True)
    machine.load([segment(CODE, asm().wfi().code())], CODE)
    assert machine.memory.read(machine.registers["x0"], 4) == b"\xd0\x0d\xfe\xed"


@pytest.mark.parametrize(
    ("paddr", "data", "size", "reason"),
    [
        (0x3FFF_F000, b"x", 1, "does not fit"),
        (RAM + SIZE - 4, b"12345", 5, "does not fit"),
        (CODE, b"x", SIZE, "more RAM"),
        (1 << 64, b"x", 1, "does not fit"),
        (RAM, b"x", 1, "device tree"),
        (RAM + SIZE // 2, b"x", 1, "initrd"),
        (CODE, b"xyz", 2, "memory_size"),
        (CODE + 0x1000, b"y" * 8, 8, "another segment"),
    ],
)
def test_a_program_that_does_not_fit_is_refused(make_machine, segment, paddr, data, size, reason):
    """The error says what is in the way, and nothing was loaded."""
    machine = make_machine(initrd=b"archive")
    before = machine.memory.digest()
    with pytest.raises(MachineError, match=reason):
        machine.load([segment(CODE + 0x1000, b"good" * 4), segment(paddr, data, size)], CODE)
    assert machine.memory.digest() == before


@pytest.mark.parametrize("entry", [0, RAM + SIZE, CODE + 2])
def test_an_entry_point_outside_ram_is_refused(machine, segment, entry):
    """The entry must be an aligned address in RAM."""
    with pytest.raises(MachineError, match="entry point"):
        machine.load([segment(CODE, b"code")], entry)


def test_identification_override_is_what_mrs_returns(make_machine, segment, asm):
    """ASIDBits = 0 (8 bits) at the linked and at the physical address; other registers stay true."""
    small = 0x1104
    machine = make_machine(id_registers={"ID_AA64MMFR0_EL1": small})
    program = asm().mrs(3, "ID_AA64MMFR0_EL1").mrs(4, "ID_AA64MMFR1_EL1").mrs(5, "MIDR_EL1").wfi()
    machine.load([segment(CODE, program.code(), vaddr=0xFFFF_FF80_0020_0000)], CODE)
    assert machine.run().kind == "wfi"
    assert [machine.registers[f"x{n}"] for n in (3, 4, 5)] == [small, 0, 0x410F_D083]
    assert machine.sysreg["id_aa64mmfr0_el1"] == small
    machine.load([segment(CODE, program.code())], CODE)
    machine.run()
    assert machine.registers["x3"] == small


def test_identification_override_at_the_linked_address(make_machine, segment, asm):
    """The same instruction, reached through a translation in the upper half."""
    linked = 0xFFFF_FF80_0020_0000
    machine = make_machine(id_registers={"ID_AA64MMFR0_EL1": 0x1104})
    machine.load([segment(CODE, asm().mrs(3, "ID_AA64MMFR0_EL1").wfi().code(), vaddr=linked)], CODE)
    machine.memory.write(0x4300_0000, struct.pack("<Q", RAM | AF | 1))
    machine.sysreg["TCR_EL1"] = 25 | 25 << 16 | 2 << 30 | 2 << 32
    machine.sysreg["TTBR1_EL1"] = 0x4300_0000
    machine.sysreg["SCTLR_EL1"] |= 1
    machine.registers["pc"] = linked
    assert machine.run().kind == "wfi"
    assert machine.registers["x3"] == 0x1104


@pytest.mark.parametrize("name", ["TTBR0_EL1", "NO_SUCH_EL1"])
def test_overrides_of_other_registers_are_refused(make_machine, name):
    """Only identification registers can be overridden."""
    with pytest.raises(MachineError, match=name):
        make_machine(id_registers={name: 1})


def test_the_counter_is_made_of_instructions(machine, segment, asm):
    """CNTVCT_EL0 and CNTPCT_EL0 advance a tick (16 ns) in 16 instructions, in every run alike."""
    program = (
        asm().mrs(1, "CNTVCT_EL0").nop(1599).mrs(2, "CNTVCT_EL0").mrs(3, "CNTPCT_EL0").mrs(4, "CNTFRQ_EL0")
    )
    machine.load([segment(CODE, program.wfi().code())], CODE)
    assert machine.run().kind == "wfi"
    first, second, physical, frequency = (machine.registers[f"x{n}"] for n in (1, 2, 3, 4))
    assert (first, second, physical, frequency) == (0, 100, 100, 62_500_000)
    assert machine.sysreg["CNTVCT_EL0"] == machine.instructions // 16


@settings(max_examples=50, deadline=None)
@given(value=st.integers(0, (1 << 64) - 1), number=st.integers(0, 30))
def test_registers_hold_what_was_written(steady, value, number):
    """All 64 bits of every general register, by either name."""
    steady.registers[f"x{number}"] = value
    assert steady.registers[f"X{number}"] == value
    assert dict(steady.registers)[f"x{number}"] == value


@pytest.fixture(scope="module")
def steady():
    """A machine that nothing runs on."""
    with Machine(ram_size=16 << 20) as machine:
        yield machine


def test_vector_registers_have_128_bits(steady):
    """q0 to q31."""
    steady.registers["q31"] = (1 << 127) + 3
    assert steady.registers["q31"] == (1 << 127) + 3


@pytest.mark.parametrize(
    ("name", "value"), [("x31", 0), ("w0", 0), ("x0", 1 << 64), ("x0", -1), ("q0", 1 << 128)]
)
def test_bad_registers_and_values_are_refused(steady, name, value):
    """Unknown names and values that do not fit; the error names the register."""
    with pytest.raises(MachineError, match=name):
        steady.registers[name] = value


@pytest.mark.parametrize("name", ["ID_AA64MMFR0_EL1", "CNTVCT_EL0", "TTBR0", "FOO_EL1"])
def test_system_registers_that_cannot_be_written(steady, name):
    """Identification registers, the counter, and names that do not exist."""
    with pytest.raises(MachineError, match=name):
        steady.sysreg[name] = 0


def test_the_live_stack_pointer_is_read_through_its_bank(steady):
    """SP_EL1 at EL1h and SP_EL0 at EL1t are the current SP, both ways; the others are the banks."""
    steady.registers["pstate"] = 0x3C5
    steady.sysreg["SP_EL1"], steady.sysreg["SP_EL0"] = 0x1000, 0x2000
    assert steady.registers["sp"] == 0x1000
    steady.registers["pstate"] = 0x3C4
    assert (steady.registers["sp"], steady.sysreg["SP_EL1"]) == (0x2000, 0x1000)
    steady.registers["sp"] = 0x3000
    assert steady.sysreg["SP_EL0"] == 0x3000
    steady.registers["pstate"] = 0x3C5
    assert (steady.registers["sp"], steady.sysreg["SP_EL0"]) == (0x1000, 0x3000)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"ram_size": 0}, "multiple of 4096, got 0x0"),
        ({"ram_size": 4097}, "multiple of 4096, got 0x1001"),
        ({"ram_size": -4096}, "multiple of 4096"),
        ({"cpu": "a53"}, "'a53'; there are a72, max"),
        ({"entry_el": 3}, "1 or 2, got 3"),
    ],
)
def test_impossible_machines_are_refused(options, reason):
    """The error says what is possible."""
    with pytest.raises(MachineError, match=reason):
        Machine(**options)
