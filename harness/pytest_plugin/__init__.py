# SPDX-License-Identifier: BSD-3-Clause
"""Fixtures that run a kernel image on the emulated machine: the pytest plugin of this package.

    def test_region_is_zeroed(kernel):
        space = kernel.vmm_address_space_create()
        va = kernel.vmm_address_space_region_create(space, 0x3000, kernel.AS_REGION_RW)
        assert kernel.read(space, va, 0x3000) == bytes(0x3000)

Which image: `--kernel-elf PATH`, repeatable, or the ini option `kernel_elf`. The emulator is imported when a
test asks for one of these fixtures, or the run for coverage or the like. Until then options are read, and of
images that are named, who compiled them.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.pytest_plugin import coverage, kdb, mutants, states, tools, unseen
from harness.pytest_plugin.options import CPUS, Target, is_worker, settings_of, unwanted_checks
from harness.pytest_plugin.used import given, remember

if TYPE_CHECKING:
    from harness import Kernel, Machine
    from harness.pytest_plugin.pool import Pool

_POOL = pytest.StashKey["Pool"]()

# -- options ------------------------------------------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of the machine."""
    group = parser.getgroup("kernel", "kernels on the emulated AArch64 machine")
    group.addoption(
        "--kernel-elf",
        action="append",
        default=[],
        metavar="PATH",
        help="kernel image to test, instead of those of the ini option kernel_elf; may be repeated",
    )
    group.addoption("--kernel-cpu", choices=CPUS, default="a72", help="CPU model (default: a72)")
    group.addoption("--kernel-ram", default="2G", metavar="SIZE", help="RAM, as 256M or 2G (default: 2G)")
    group.addoption(
        "--kernel-entry-el", type=int, choices=(1, 2), default=1, help="where the kernel is entered"
    )
    coverage.add_options(parser)
    states.add_options(parser)
    mutants.add_options(parser)
    kdb.add_options(parser)
    group.addoption(
        "--kernel-sanitizer",
        choices=("on", "off"),
        default="on",
        help="fail tests whose kernel breaks the architecture's rules for table updates (default: on)",
    )
    group.addoption(
        "--kernel-tlb",
        type=int,
        metavar="SEED",
        help="translate by an adversarial TLB: it keeps every stale entry that it may, or not, by the seed",
    )
    parser.addini("kernel_elf", "kernel images to test", type="paths", default=[])


def pytest_configure(config: pytest.Config) -> None:
    """Refuse bad options before anything runs."""
    tools.register(config)
    config.addinivalue_line(
        "markers",
        "no_sanitizer(*checks): what the kernel does to its tables is not held against these, or any",
    )
    config.pluginmanager.register(tools, "lukos-tools")
    config.pluginmanager.register(unseen, "lukos-unseen")
    settings = settings_of(config)
    if not is_worker(config):
        settings.refuse_missing(settings.given)
    coverage.register(config)
    states.register(config)
    mutants.register(config, close_kernels, forget_images)
    kdb.register(config)


def pytest_report_header(config: pytest.Config) -> list[str]:
    """What is under test; nothing where no image is named."""
    settings = settings_of(config)
    if not settings.targets:
        return []
    from harness.pytest_plugin.header import header

    return header(settings)


# -- which tests, on which images ---------------------------------------------------------------------------


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every test that uses a kernel runs once for each image."""
    targets = settings_of(metafunc.config).targets
    if "kernel_elf" in metafunc.fixturenames and len(targets) > 1:
        ids = [target.id for target in targets]
        metafunc.parametrize("kernel_elf", targets, ids=ids, indirect=True, scope="session")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run a sample, if that is asked for."""
    states.choose(config, items)


def pytest_collection_finish(session: pytest.Session) -> None:
    """One clear error instead of one for each test, when an image of the ini option is not there."""
    uses = any("kernel_elf" in getattr(item, "fixturenames", ()) for item in session.items)
    if uses and not is_worker(session.config) and not session.config.option.collectonly:
        settings = settings_of(session.config)
        settings.refuse_missing(target.path for target in settings.targets)


# -- fixtures -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def kernel_elf(request: pytest.FixtureRequest) -> Path:
    """The path of the kernel image under test."""
    settings = settings_of(request.config)
    target: Target | None = getattr(request, "param", None) or next(iter(settings.targets), None)
    if target is None:
        pytest.fail("no kernel image: name one with --kernel-elf PATH or the ini option kernel_elf", False)
    try:
        settings.refuse_missing([target.path])
    except pytest.UsageError as error:
        pytest.fail(str(error), pytrace=False)
    return target.path


@pytest.fixture
def kernel(request: pytest.FixtureRequest, kernel_elf: Path) -> Kernel:
    """The kernel, as it was just after boot: booted once by each worker, restored for each test."""
    return _given(request, _pool(request.config).fresh(kernel_elf))


@pytest.fixture
def machine(kernel: Kernel) -> Machine:
    """The machine that `kernel` runs on."""
    return kernel.machine


@pytest.fixture
def address_space(kernel: Kernel) -> Any:
    """A new, empty `address_space_t *`."""
    space = kernel.vmm_address_space_create()
    assert space, "vmm_address_space_create() returned NULL on a kernel that has just booted"
    return space


@pytest.fixture
def boot_kernel(request: pytest.FixtureRequest, kernel_elf: Path) -> Iterator[Callable[..., Kernel]]:
    """Boot another kernel of the same image: `boot_kernel(ram_size=256 << 20)`; options as of `Kernel`.

    It is closed after the test.
    """
    made: list[Kernel] = []

    def boot(**options: Any) -> Kernel:
        made.append(_pool(request.config).boot(kernel_elf, **options))
        return _given(request, made[-1])

    yield boot
    for each in made:
        each.close()


def _given(request: pytest.FixtureRequest, booted: Kernel) -> Kernel:
    """A kernel, for the test that asks."""
    booted.session.mute_sanitizer(*unwanted_checks(request.node))
    remember(request.node, booted)
    kdb.record(request.node, booted)
    return booted


def _pool(config: pytest.Config) -> Pool:
    if _POOL not in config.stash:
        from harness.pytest_plugin.pool import Pool

        config.stash[_POOL] = Pool(settings_of(config))
    return config.stash[_POOL]


def close_kernels(config: pytest.Config) -> None:
    """Close what is still running; the next test boots again."""
    if _POOL in config.stash:
        config.stash[_POOL].close()
        del config.stash[_POOL]


def forget_images(config: pytest.Config) -> None:
    """What is booted from now on is read anew; kernels that run stay."""
    if _POOL in config.stash:
        config.stash[_POOL].forget_images()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Nothing stays behind."""
    close_kernels(config)


# -- failures -----------------------------------------------------------------------------------------------


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Put what the kernels of a failed test look like into its report."""
    report = yield
    if report.failed and report.when != "teardown":
        for booted in given(item):
            from harness.pytest_plugin.sections import sections

            report.sections += sections(booted, call.excinfo.value if call.excinfo else None)
    return report
