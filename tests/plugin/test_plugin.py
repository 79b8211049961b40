# SPDX-License-Identifier: BSD-3-Clause
"""The pytest plugin, tried from outside: test runs within test runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from harness.pytest_plugin.options import settings_of, short_ids

pytest_plugins = ["pytester"]

_PLAIN = ("-p", "no:cacheprovider", "-p", "no:randomly", "--timeout=120")


@pytest.fixture
def elf(request: pytest.FixtureRequest) -> Path:
    """One image; that there may be several is not the subject here."""
    return settings_of(request.config).targets[0].path


def run(pytester: pytest.Pytester, source: str, *arguments: object) -> pytest.RunResult:
    pytester.makepyfile(source)
    return pytester.runpytest_subprocess(*_PLAIN, *map(str, arguments))


def test_each_test_gets_the_kernel_as_it_was_after_boot(pytester: pytest.Pytester, elf: Path) -> None:
    """What one test does to the kernel, the next one does not see."""
    source = """
        import pytest

        @pytest.mark.parametrize("turn", range(3))
        def test_first_space_has_id_1(kernel, turn):
            assert kernel.vmm_address_space_create().id == 1
    """
    run(pytester, source, "--kernel-elf", elf).assert_outcomes(passed=3)


def test_an_adversarial_tlb_is_had_for_all_kernels_or_for_one(pytester: pytest.Pytester, elf: Path) -> None:
    """By its seed on the command line, and by an option of `boot_kernel`, which goes before that."""
    source = """
        from harness.checks.tlb import AdversarialTlb

        def seeds(*kernels):
            return [None if kernel.tlb is None else kernel.tlb.seed for kernel in kernels]

        def test_seeds(kernel, boot_kernel):
            assert seeds(kernel, boot_kernel(), boot_kernel(tlb=AdversarialTlb(5))) == [3, 3, 5]

        def test_plain(kernel, boot_kernel):
            assert seeds(kernel, boot_kernel(tlb=AdversarialTlb(5))) == [None, 5]
    """
    run(pytester, source, "--kernel-elf", elf, "--kernel-tlb", 3, "-k", "test_seeds").assert_outcomes(
        passed=1
    )
    run(pytester, source, "--kernel-elf", elf, "-k", "test_plain").assert_outcomes(passed=1)


def test_machine_and_address_space_belong_to_the_kernel(pytester: pytest.Pytester, elf: Path) -> None:
    """The smaller fixtures are parts of the one kernel."""
    source = """
        def test_parts(kernel, machine, address_space, kernel_elf):
            assert machine is kernel.machine
            assert kernel.vmm_address_space_next(None) == address_space
            assert kernel.image.path == kernel_elf
    """
    run(pytester, source, "--kernel-elf", elf).assert_outcomes(passed=1)


def test_the_emulator_is_imported_when_a_kernel_is_asked_for(pytester: pytest.Pytester, elf: Path) -> None:
    """Tests without one do not wait for it."""
    source = """
        import sys

        def test_without():
            assert "unicorn" not in sys.modules

        def test_with(kernel):
            assert "unicorn" in sys.modules
    """
    run(pytester, source, "--kernel-elf", elf).assert_outcomes(passed=2)


def test_several_images_give_each_kernel_test_several_runs(pytester: pytest.Pytester, elf: Path) -> None:
    """Tests that use a kernel are named for the image; others run once."""
    for name in ("one", "two"):
        (pytester.mkdir(name) / "kernel.elf").write_bytes(elf.read_bytes())
    source = """
        def test_kernel(kernel): pass
        def test_other(): pass
    """
    both = [option for name in ("one", "two") for option in ("--kernel-elf", f"{name}/kernel.elf")]
    result = run(pytester, source, "-v", *both)
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines_random(["*::test_kernel?one? *", "*::test_kernel?two? *", "*::test_other *"])


def test_images_can_be_named_in_the_configuration(pytester: pytest.Pytester, elf: Path) -> None:
    """The ini option kernel_elf is relative to the configuration file."""
    (pytester.mkdir("built") / "kernel.elf").write_bytes(elf.read_bytes())
    pytester.makeini("[pytest]\nkernel_elf = built/kernel.elf\n")
    run(pytester, "def test_kernel(kernel): pass").assert_outcomes(passed=1)


def test_workers_of_xdist_boot_their_own(pytester: pytest.Pytester, elf: Path) -> None:
    """The plugin works in parallel runs, failure reports included."""
    source = """
        import pytest

        @pytest.mark.parametrize("turn", range(4))
        def test_kernel(kernel, turn):
            assert turn != 3
    """
    result = run(pytester, source, "-n2", "--kernel-elf", elf)
    result.assert_outcomes(passed=3, failed=1)
    result.stdout.fnmatch_lines(["*kernel.elf: tables*"])


def test_options_reach_the_machine(pytester: pytest.Pytester, elf: Path) -> None:
    """CPU, RAM and entry level are those of the command line."""
    source = """
        def test_machine(kernel):
            assert "256 MiB" in kernel.console
            assert kernel.machine.sysreg["ID_AA64MMFR1_EL1"] != 0  # 0 on the Cortex-A72
    """
    options = ("--kernel-cpu", "max", "--kernel-ram", "256M", "--kernel-entry-el", "2")
    result = run(pytester, source, "--kernel-elf", elf, *options)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["kernel: cpu max, RAM 256M, entry EL2", "*kernel.elf (*)"])


def test_boot_kernel_boots_others_and_closes_them(pytester: pytest.Pytester, elf: Path) -> None:
    """A test that needs another machine makes it, and need not clean up."""
    source = """
        import pytest
        from harness import MachineError

        made = []

        def test_other_machine(boot_kernel):
            made.append(boot_kernel(ram_size=128 << 20))
            assert "128 MiB" in made[0].console

        def test_it_is_closed():
            with pytest.raises(MachineError, match="closed"):
                made[0].machine.registers["pc"]
    """
    run(pytester, source, "--kernel-elf", elf).assert_outcomes(passed=2)


def test_a_failure_shows_machine_tables_and_console(pytester: pytest.Pytester, elf: Path) -> None:
    """Whoever reads the failure sees where the kernel stood and what was mapped."""
    source = """
        def test_wrong(kernel, address_space):
            kernel.vmm_address_space_region_create(address_space, 0x3000, kernel.AS_REGION_RX)
            assert False, "the reason"
    """
    result = run(pytester, source, "--kernel-elf", elf)
    result.assert_outcomes(failed=1)
    wanted = ["*the reason*", "*: machine -*", "#0 *", "*pstate*", "*: tables -*", "address space 1"]
    result.stdout.fnmatch_lines(
        [*wanted, "*12K RX *r-x r--*3 x 4K", "kernel (TTBR1)", "*: console -*", "LuKOS*"]
    )


@pytest.mark.parametrize("damage", ["kernel.close()", "kernel.machine.sysreg['TTBR1_EL1'] = 0"])
def test_a_broken_machine_does_not_hide_the_failure(
    pytester: pytest.Pytester, elf: Path, damage: str
) -> None:
    """Where nothing can be looked at, the report says so and the test's own failure stays."""
    source = f"""
        def test_wrong(boot_kernel):
            kernel = boot_kernel()
            {damage}
            assert False, "the reason"
    """
    result = run(pytester, source, "--kernel-elf", elf)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*the reason*"])
    result.stdout.no_fnmatch_line("*INTERNALERROR*")


def test_a_guest_error_is_not_told_twice(pytester: pytest.Pytester, elf: Path) -> None:
    """Its message has backtrace and registers; the sections add only the rest."""
    source = """
        def test_wrong(kernel):
            kernel.vmm_address_space_create(budget=10)
    """
    result = run(pytester, source, "--kernel-elf", elf)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*GuestRunaway*", "*backtrace:*"])
    result.stdout.no_fnmatch_line("*kernel.elf: machine*")


def test_a_missing_image_is_a_usage_error(pytester: pytest.Pytester) -> None:
    """It says how to build the image, once, and nothing is run."""
    result = run(pytester, "def test_kernel(kernel): pass", "--kernel-elf", "nonesuch.elf")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: no kernel image *nonesuch.elf: build it*make kernel*--kernel-elf*"])


def test_a_missing_image_of_the_configuration_stops_only_tests_that_need_it(
    pytester: pytest.Pytester,
) -> None:
    """Tests without a kernel run before anything has been built; those with one name the remedy."""
    pytester.makeini("[pytest]\nkernel_elf = nonesuch.elf\n")
    pytester.makepyfile(test_a="def test_other(): pass", test_b="def test_kernel(kernel): pass")
    pytester.runpytest_subprocess(*_PLAIN, "test_a.py").assert_outcomes(passed=1)
    assert pytester.runpytest_subprocess(*_PLAIN).ret == pytest.ExitCode.USAGE_ERROR
    parallel = pytester.runpytest_subprocess(*_PLAIN, "-n1")
    parallel.assert_outcomes(passed=1, errors=1)
    parallel.stdout.fnmatch_lines(["*nonesuch.elf: build it*"])


def test_no_image_at_all_names_the_option(pytester: pytest.Pytester) -> None:
    """A project that has just installed the package learns what to set."""
    result = run(pytester, "def test_kernel(kernel): pass")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*no kernel image: name one with --kernel-elf*"])


def test_a_size_that_is_none_is_a_usage_error(pytester: pytest.Pytester) -> None:
    """A typing error is told before anything boots."""
    result = run(pytester, "def test_other(): pass", "--kernel-ram", "lots")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --kernel-ram: 'lots' is not a size*"])


@pytest.mark.parametrize("parallel", [(), ("-n1",)], ids=["alone", "xdist"])
def test_a_missing_program_is_named_in_the_summary(
    pytester: pytest.Pytester, parallel: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test is skipped with the reason, and the summary says which program and how many tests."""
    monkeypatch.delenv("LUKOS_REQUIRE_TOOLS", raising=False)
    result = run(pytester, _NEEDY, "-rs", *parallel)
    result.assert_outcomes(passed=1, skipped=1)
    result.stdout.fnmatch_lines(
        ["*missing programs*", "nonesuch-tool: 1 tests did not run", "SKIPPED*nonesuch-tool*"]
    )


def test_a_missing_program_fails_where_all_are_required(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CI installs every program; a test that did not run is a failure there."""
    monkeypatch.setenv("LUKOS_REQUIRE_TOOLS", "1")
    result = run(pytester, _NEEDY)
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*needs nonesuch-tool, not found in PATH, and LUKOS_REQUIRE_TOOLS=1*"])


_NEEDY = """
    import pytest

    @pytest.mark.needs_tool("nonesuch-tool")
    def test_needy(): pass

    @pytest.mark.needs_tool("sh")
    def test_content(): pass
"""


def test_projects_that_do_not_use_it_do_not_pay() -> None:
    """Loading the plugin imports neither the emulator nor the ELF reader."""
    heavy = "{'unicorn', 'elftools', 'harness.kernel'}"
    probe = f"import sys, harness.pytest_plugin; sys.exit(bool({heavy} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", probe], check=False).returncode == 0


def test_ids_are_as_short_as_they_can_be() -> None:
    """File names where they differ, folders where files are called the same, and never one id twice."""
    assert short_ids([Path("a/x.elf"), Path("a/y.elf")]) == ["x", "y"]
    assert short_ids([Path("va39/kernel.elf"), Path("va48/kernel.elf")]) == ["va39", "va48"]
    same = [Path("1/va39/kernel.elf"), Path("2/va39/kernel.elf"), Path("va39/other.elf")]
    assert len(set(short_ids(same))) == 3


def test_the_sanitizer_is_silent_or_leaves_out_checks(pytester: pytest.Pytester, elf: Path) -> None:
    """For the tests that are marked, and no others."""
    source = """
        import pytest

        def left_out(kernel):
            sanitizer = kernel.session.sanitizer
            return sanitizer.muted, sorted(sanitizer._left_out)

        @pytest.mark.no_sanitizer("policy/writable-executable", "owed")
        def test_some(kernel): assert left_out(kernel) == (False, ["owed", "policy/writable-executable"])

        @pytest.mark.no_sanitizer
        def test_all(kernel): assert left_out(kernel) == (True, [])

        def test_none(kernel): assert left_out(kernel) == (False, [])
    """
    run(pytester, source, "--kernel-elf", elf).assert_outcomes(passed=3)
