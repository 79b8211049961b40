# SPDX-License-Identifier: BSD-3-Clause
"""What is found is told once, with the call in which it happened, however that ends."""

from __future__ import annotations

import pytest

from harness import GuestException, GuestPanic, GuestRunaway, Kernel
from harness.checks.sanitizer import Options
from harness.cli import main
from harness.kernel.session import RETURN_ADDRESS

VA, OTHER_VA, PA, OTHER_PA = 0x100010000, 0x100020000, 0x40400000, 0x40410000
ENDS = {GuestPanic: 0, GuestException: 1, GuestRunaway: 2}
BUDGET = 2000  # instructions; more than any call here takes


def boot(elf, options):
    return Kernel(elf, ram_size=64 << 20, panic_symbols=("die",), sanitize=options)


@pytest.fixture(scope="module")
def booted(foreign_elf):
    with boot(foreign_elf, Options()) as kernel:
        kernel.map(VA, PA)
        yield kernel, kernel.snapshot()


@pytest.fixture
def foreign(booted):
    """The kernel of other hands with one page mapped."""
    kernel, moment = booted
    kernel.restore(moment)
    return kernel


@pytest.mark.parametrize(("kind", "how"), ENDS.items(), ids=lambda each: getattr(each, "__name__", None))
def test_a_call_that_fails_otherwise_tells_of_its_findings(foreign, kind, how):
    """In its notes and as objects; the next call has nothing to do with them."""
    with pytest.raises(kind) as caught:
        foreign.remap_and_fail(OTHER_VA, OTHER_PA, how, budget=BUDGET)
    assert "break-before-make/replaced" in "\n".join(caught.value.__notes__)
    assert [finding.name for finding in caught.value.findings] == ["break-before-make/replaced"]
    assert foreign.session.sanitizer.findings == []
    assert foreign.peek(VA) == 0


@pytest.mark.parametrize(("kind", "how"), ENDS.items(), ids=lambda each: getattr(each, "__name__", None))
def test_findings_that_are_not_fatal_stay_for_who_asks(foreign_elf, kind, how):
    """The error says nothing of them."""
    with boot(foreign_elf, Options(fatal=False)) as kernel:
        with pytest.raises(kind) as caught:
            kernel.remap_and_fail(OTHER_VA, OTHER_PA, how, budget=BUDGET)
        assert not caught.value.findings
        assert [finding.name for finding in kernel.session.sanitizer.findings] == [
            "break-before-make/replaced"
        ]


def test_a_call_that_is_cut_short_leaves_nothing_for_the_next_one(foreign):
    """Between any two of its instructions: also after the store and before the TLBI."""
    moment, left = foreign.snapshot(), 0
    entry = foreign.tables(half="ttbr0").walk(VA).steps[-1].entry_address
    for budget in range(1, BUDGET):
        foreign.restore(moment)
        try:
            foreign.unmap(VA, budget=budget)
        except GuestRunaway:
            left += foreign.machine.memory.read_qword(entry) == 0
        else:
            break
        foreign.peek(entry)
    assert left > 1


def test_an_error_of_a_callback_carries_the_findings(foreign):
    """It ends the call as well."""
    watch = foreign.machine.on_address(foreign.image.symbols["die"].address, lambda _: 1 // 0)
    with pytest.raises(ZeroDivisionError) as caught:
        foreign.remap_and_fail(OTHER_VA, OTHER_PA, ENDS[GuestPanic])
    watch.remove()
    assert "break-before-make/replaced" in "\n".join(caught.value.__notes__)
    assert foreign.peek(VA) == 0


def test_restoring_the_kernel_forgets_what_was_found(foreign):
    """A run by hand ends without anyone asking; the kernel that is restored has not done it."""
    moment = foreign.snapshot()
    registers = foreign.machine.registers
    registers["x0"], registers["x1"], registers["x30"] = VA, OTHER_PA, RETURN_ADDRESS
    registers["pc"] = foreign.function("remap").address
    foreign.machine.run(budget=BUDGET, until={RETURN_ADDRESS})
    assert [finding.name for finding in foreign.session.sanitizer.findings] == ["break-before-make/replaced"]
    foreign.restore(moment)
    assert foreign.peek(VA) == 0


def test_the_command_line_prints_them(capfd, foreign_elf):
    """Behind the error."""
    assert main(["call", "remap_and_fail", *map(str, (VA, PA, 1)), "--elf", str(foreign_elf)]) == 1
    error = capfd.readouterr().err
    assert error.startswith("GuestException: ")
    assert "break-before-make/replaced" in error
