# SPDX-License-Identifier: BSD-3-Clause
"""Exceptions: the kernel's own end it with all there is to say; those of EL0 come back to the caller."""

from __future__ import annotations

import pytest

from harness import GuestError, GuestPanic
from tests.support.vmm import KERNEL_BASE, PAGE

SOURCES = ("EL1 with SP_EL0", "EL1", "EL0", "EL0 in AArch32")
KINDS = ("synchronous exception", "IRQ", "FIQ", "SError")


def functions(error):
    """The C functions of the backtrace, innermost first."""
    return [frame.function for frame in error.autopsy.backtrace.frames]


def fail(kernel, name, *arguments):
    """Call a function that must not come back; what is raised."""
    with pytest.raises(GuestPanic) as caught:
        kernel.function(name)(*arguments)
    return caught.value


# -- a bad access of the kernel -----------------------------------------------------------------------------


def test_bad_write_is_told_with_everything(kernel):
    """Which exception, where, why the address does not translate, and who called whom, through the vector."""
    error = fail(kernel, "memset", kernel.cast(KERNEL_BASE + 8, "void *"), 0, 64)
    assert "unexpected synchronous exception from EL1" in str(error)
    fault = error.autopsy.fault
    assert (fault.syndrome.is_data_abort, fault.syndrome.wnr, fault.far) == (True, True, KERNEL_BASE + 8)
    assert error.autopsy.walk.fault.kind == "translation"
    found = functions(error)
    assert found[:2] == ["panic", "exception_at_el1"]
    assert "memset" in found
    assert f"FAR 0x{KERNEL_BASE + 8:x}" in kernel.console
    assert f"ESR 0x{fault.esr:x}" in kernel.console


def test_bad_read_is_told_with_its_caller(kernel):
    """A status of the wrong kind would not do: WnR is clear."""
    error = fail(kernel, "memcpy", kernel.buffer(64), kernel.cast(KERNEL_BASE, "void *"), 64)
    assert not error.autopsy.fault.syndrome.wnr
    assert "memcpy" in functions(error)


@pytest.mark.parametrize("symbol", ["vectors", "arch_user_probe"])
def test_kernel_cannot_write_its_text_and_constants(kernel, symbol):
    """A permission fault, not a silent change."""
    address = kernel.image.symbols[symbol].address
    before = kernel.read(None, address, 64)
    error = fail(kernel, "memset", kernel.cast(address, "void *"), 0, 64)
    assert error.autopsy.walk.check(1, "w").kind == "permission"
    assert kernel.read(None, address, 64) == before


def start_at(kernel, address):
    """Let the kernel go on at an address, as if it had jumped there."""
    kernel.machine.registers["pc"] = address
    with pytest.raises(GuestPanic) as caught:
        kernel.session.run(budget=1_000_000)
    return caught.value


@pytest.mark.parametrize("where", ["data", "user", "unmapped", "linear map of the boot code"])
def test_kernel_executes_nothing_but_its_text(kernel, vmm, space, where):
    """Not its data, not the user's code, not what the boot left."""
    code = vmm.create(space, PAGE, "RX")
    vmm.activate(space)
    address = {
        "data": kernel.image.symbols["kernel_root"].address,
        "user": code,
        "unmapped": KERNEL_BASE,
        "linear map of the boot code": KERNEL_BASE + kernel.image.entry,
    }[where]
    error = start_at(kernel, address)
    fault = error.autopsy.fault
    assert (fault.syndrome.is_instruction_abort, fault.elr, fault.far) == (True, address, address)


@pytest.mark.parametrize(("instruction", "ec"), [(0x0000_0000, 0), (0xD420_0000, 0x3C)], ids=["UDF", "BRK"])
def test_undefined_and_breakpoint_instructions_are_told(kernel, instruction, ec):
    """By the syndrome."""
    address = kernel.function("vmm_last_error").address
    kernel.machine.memory.write(address - KERNEL_BASE, instruction.to_bytes(4, "little"))
    error = fail(kernel, "vmm_last_error")
    assert error.autopsy.fault.syndrome.ec == ec
    assert error.autopsy.fault.elr == address


@pytest.mark.parametrize("vector", [v for v in range(16) if v // 4 != 2])
def test_each_vector_names_itself(kernel, vector):
    """What no CPU should ever take is told by its source and kind."""
    machine = kernel.machine
    machine.sysreg["ELR_EL1"] = kernel.function("vmm_last_error").address
    error = start_at(kernel, machine.sysreg["VBAR_EL1"] + 128 * vector)
    assert f"panic: unexpected {KINDS[vector % 4]} from {SOURCES[vector // 4]}" in str(error)
    assert "exception_at_el1" in functions(error)


@pytest.mark.parametrize("vector", [8, 9, 10, 11])
def test_vectors_from_el0_return_to_the_caller(kernel, vmm, space, vector):
    """user_enter() comes back with the vector that ended it, all registers as the user left them."""
    machine = kernel.machine
    code = vmm.create(space, PAGE, "RX")
    vmm.activate(space)

    def interrupt(_machine):
        machine.sysreg["ELR_EL1"], machine.sysreg["SPSR_EL1"] = code, machine.registers["pstate"]
        machine.sysreg["ESR_EL1"] = 0x5600_0000  # SVC: only the synchronous one is read as such
        machine.set_pstate(0x3C5)
        machine.registers["pc"] = machine.sysreg["VBAR_EL1"] + 128 * vector

    watch = machine.on_address(code, interrupt)
    exit, registers = vmm.run_user(code, *range(100, 131), sp=0x1234_5670)
    watch.remove()
    assert exit.stop == (kernel.USER_CALL if vector == 8 else kernel.USER_OTHER)
    assert list(registers.x) == list(range(100, 131))
    assert (registers.pc, registers.sp) == (code, 0x1234_5670)


# -- the stack ----------------------------------------------------------------------------------------------


def call_with_stack(kernel, room, name="vmm_address_space_create"):
    """Call a function with `room` bytes left on the kernel stack."""
    kernel.machine.registers["sp"] = kernel.image.symbols["stack_guard"].address + PAGE + room
    return kernel.function(name)()


@pytest.mark.parametrize("room", [0, 16, 48, 96])
def test_stack_overflow_ends_on_its_own_stack(kernel, room):
    """The guard page catches it; the message names SP, and the backtrace the function that overflowed."""
    guard = kernel.image.symbols["stack_guard"].address
    with pytest.raises(GuestPanic, match="kernel stack overflow: SP") as caught:
        call_with_stack(kernel, room)
    error = caught.value
    assert guard <= error.autopsy.fault.far < guard + PAGE
    found = functions(error)
    assert found[:2] == ["panic", "exception_stack_overflow"]
    assert {"vmm_address_space_create", "object_alloc", "memset"} & set(found)
    top = kernel.image.symbols["overflow_stack_top"].address
    assert top - 4 * PAGE <= error.autopsy.registers["sp"] < top


def test_exception_with_little_stack_left_is_an_overflow_too(kernel):
    """Its frame of 272 bytes does not fit above the guard page, though the fault is another one."""
    machine = kernel.machine
    machine.registers["sp"] = kernel.image.symbols["stack_guard"].address + PAGE + 128
    with pytest.raises(GuestPanic, match="kernel stack overflow"):
        kernel.memset(kernel.cast(KERNEL_BASE, "void *"), 0, 64)


@pytest.mark.parametrize("vector", [4, 5, 6, 7])
def test_every_kind_of_exception_looks_at_the_stack(kernel, vector):
    """An interrupt that finds little of it is an overflow like any other, told before anything is stored."""
    machine = kernel.machine
    machine.sysreg["ELR_EL1"] = kernel.function("vmm_last_error").address
    machine.registers["sp"] = kernel.image.symbols["stack_guard"].address + PAGE + 128
    stack = machine.registers["sp"]
    error = start_at(kernel, machine.sysreg["VBAR_EL1"] + 128 * vector)
    assert f"kernel stack overflow: SP {stack:#x}" in str(error)


def test_exception_with_enough_stack_left_is_what_it_is(kernel):
    """16K below the top is not the guard page."""
    machine = kernel.machine
    machine.registers["sp"] = kernel.image.symbols["stack_guard"].address + PAGE + 2048
    with pytest.raises(GuestPanic, match="unexpected synchronous exception"):
        kernel.memset(kernel.cast(KERNEL_BASE, "void *"), 0, 64)


def test_enough_stack_is_no_overflow(kernel):
    """The same call with a kilobyte works."""
    assert call_with_stack(kernel, 1024)


def test_overflow_of_the_overflow_stack_ends(kernel):
    """With its guard page hit as well nothing can be told, but the machine does not run wild either."""
    machine = kernel.machine
    machine.registers["sp"] = kernel.image.symbols["overflow_guard"].address + PAGE + 16
    with pytest.raises(GuestError):
        kernel.vmm_address_space_create()


# -- user programs ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("instruction", "stop"),
    [
        (0xD400_0001, "USER_CALL"),  # SVC #0
        (0xD400_0AA1, "USER_CALL"),  # SVC #0x55
        (0x0000_0000, "USER_OTHER"),  # UDF #0
        (0xD420_0000, "USER_OTHER"),  # BRK #0
        (0xD538_1000, "USER_OTHER"),  # MRS x0, SCTLR_EL1
        (0xD400_0002, "USER_OTHER"),  # HVC #0
        (0x3940_0000, "USER_FAULT"),  # LDRB w0, [x0]
    ],
)
def test_whatever_a_program_does_comes_back(kernel, vmm, space, instruction, stop):
    """A call, a fault, or neither."""
    code = vmm.create(space, PAGE, "RX")
    kernel.vmm_address_space_copy_in(space, kernel.buffer(instruction.to_bytes(4, "little")), code, 4)
    vmm.activate(space)
    exit, _ = vmm.run_user(code, 0x5000)
    assert exit.stop == getattr(kernel, stop)
    if stop == "USER_FAULT":
        assert (exit.access, exit.permission, exit.address) == (kernel.USER_READ, 0, 0x5000)


@pytest.mark.parametrize("status", [0b000101, 0b001101, 0b010000, 0b100001])
@pytest.mark.parametrize("ec", [0x20, 0x24], ids=["fetch", "data"])
def test_only_missing_pages_and_rights_are_faults_of_a_program(kernel, vmm, space, ec, status):
    """External aborts and alignment are something else (FSC of ESR_EL1, D24.2.40)."""
    machine, code = kernel.machine, vmm.create(space, PAGE, "RX")
    vmm.activate(space)
    syndrome = ec << 26 | 1 << 25 | status

    def abort(_machine):
        machine.sysreg["ELR_EL1"], machine.sysreg["SPSR_EL1"] = code, machine.registers["pstate"]
        machine.sysreg["ESR_EL1"], machine.sysreg["FAR_EL1"] = syndrome, 0x5000
        machine.set_pstate(0x3C5)
        machine.registers["pc"] = machine.sysreg["VBAR_EL1"] + 128 * 8

    watch = machine.on_address(code, abort)
    exit, _ = vmm.run_user(code)
    watch.remove()
    fault = status >> 2 in (1, 3)
    assert exit.stop == (kernel.USER_FAULT if fault else kernel.USER_OTHER)
    assert exit.syndrome == syndrome


def test_programs_cannot_choose_their_exception_level(kernel, vmm, space):
    """Only the condition flags of the PSTATE that is asked for are taken."""
    code = vmm.create(space, PAGE, "RX")
    kernel.vmm_address_space_copy_in(space, kernel.buffer(0xD400_0001.to_bytes(4, "little")), code, 4)
    vmm.activate(space)
    registers = kernel.new("struct user_registers")
    registers.pc, registers.pstate = code, 0xF000_03C5
    kernel.arch_user_run(registers)
    taken = kernel.machine.exceptions[-1]
    assert (taken.from_el, taken.spsr) == (0, 0xF000_0000)


def test_kernel_registers_survive_a_program(kernel, vmm, space):
    """A program with other values in every register changes none that AAPCS64 has a callee keep."""
    code = vmm.create(space, PAGE, "RX")
    kernel.vmm_address_space_copy_in(space, kernel.buffer(0xD400_0001.to_bytes(4, "little")), code, 4)
    vmm.activate(space)
    kept = [f"x{number}" for number in range(19, 29)]
    for number, name in enumerate(kept):
        kernel.machine.registers[name] = 0xABCD_0000 + number
    sp = kernel.machine.registers["sp"]
    vmm.run_user(code, *[0xDEAD] * 31, sp=0xBEEF0)
    assert [kernel.machine.registers[name] for name in kept] == [0xABCD_0000 + n for n in range(10)]
    assert kernel.machine.registers["sp"] == sp
