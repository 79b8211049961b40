# SPDX-License-Identifier: BSD-3-Clause
"""Violations of a test that drives the machine by hand: they fail it at its end."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.plugin.test_plugin import elf, run

pytest_plugins = ["pytester"]
__all__ = ["elf"]

# protect() leaves an invalidation out; nobody asks the sanitizer when it is over.
_BY_HAND = """
    import pytest
    from harness import GuestRunaway
    from harness.checks.sanitizer import Options
    from harness.kernel.faults import SkipInstruction
    from harness.kernel.session import RETURN_ADDRESS

    def protect(kernel, budget=100_000):
        space = kernel.vmm_address_space_create()
        va = kernel.vmm_address_space_region_create(space, 0x1000, kernel.AS_REGION_RW)
        kernel.vmm_address_space_activate(space)
        registers = kernel.machine.registers
        registers["x0"], registers["x1"], registers["x2"] = int(space), va, kernel.AS_REGION_RO
        registers["x30"], registers["pc"] = RETURN_ADDRESS, kernel.vmm_address_space_region_set_prop.address
        with SkipInstruction("TLBI").inject(kernel):
            kernel.machine.run(budget=budget, until={RETURN_ADDRESS})
"""


def outcome(pytester: pytest.Pytester, elf: Path, test: str, *options: str) -> pytest.RunResult:
    return run(pytester, _BY_HAND + test, "--kernel-elf", elf, *options)


def test_what_is_owed_at_the_end_fails_the_test(pytester: pytest.Pytester, elf: Path) -> None:
    """And only that one."""
    test = """
    def test_bad(kernel):
        protect(kernel)

    def test_good(kernel):
        kernel.vmm_address_space_create()
    """
    result = outcome(pytester, elf, test)
    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines(["*GuestViolation*", "*owed/not-invalidated*"])


def test_a_failure_of_its_own_comes_first(pytester: pytest.Pytester, elf: Path) -> None:
    """What was found is told with it."""
    test = """
    def test_bad(kernel):
        protect(kernel)
        assert False, "the reason"
    """
    result = outcome(pytester, elf, test)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*the reason*", "*owed/not-invalidated*"])


def test_other_kernels_of_a_test_count_as_well(pytester: pytest.Pytester, elf: Path) -> None:
    """Of `boot_kernel`, and of fixtures of the test's own; one that is closed has nothing to say."""
    test = """
    from harness import Kernel

    @pytest.fixture
    def own(kernel_elf):
        with Kernel(kernel_elf, ram_size=64 << 20) as kernel:
            yield kernel

    def test_booted(boot_kernel):
        protect(boot_kernel())

    def test_own(own):
        protect(own)

    def test_closed(boot_kernel):
        kernel = boot_kernel()
        protect(kernel)
        kernel.close()
    """
    outcome(pytester, elf, test).assert_outcomes(failed=2, passed=1)


def test_what_somebody_has_seen_or_does_not_want_to_see_is_no_failure(
    pytester: pytest.Pytester, elf: Path
) -> None:
    """Taken, forgotten by a restore, marked, not fatal; and a call that is not over owes nothing yet."""
    test = """
    def test_taken(kernel):
        protect(kernel)
        kernel.session.sanitizer.settle()
        assert [each.name for each in kernel.session.sanitizer.take()] == ["owed/not-invalidated"]

    def test_restored(kernel):
        moment = kernel.snapshot()
        protect(kernel)
        kernel.restore(moment)

    @pytest.mark.no_sanitizer
    def test_marked(kernel, boot_kernel):
        protect(kernel)
        protect(boot_kernel())

    def test_not_fatal(boot_kernel):
        protect(boot_kernel(sanitize=Options(fatal=False)))

    def test_in_the_middle(kernel):
        protect(kernel)
        kernel.machine.registers["pc"] = kernel.vmm_last_error.address
    """
    outcome(pytester, elf, test).assert_outcomes(passed=5)


def test_without_a_sanitizer_nothing_is_asked(pytester: pytest.Pytester, elf: Path) -> None:
    """--kernel-sanitizer=off."""
    test = """
    def test_bad(kernel):
        protect(kernel)
    """
    outcome(pytester, elf, test, "--kernel-sanitizer=off").assert_outcomes(passed=1)
