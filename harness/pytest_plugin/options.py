# SPDX-License-Identifier: BSD-3-Clause
"""What the user asked for: images, CPU, RAM."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

if TYPE_CHECKING:
    from harness.machine import CpuModel

EntryLevel = Literal[1, 2]

CPUS = ("a72", "max")
HOW_TO_BUILD = "build it (here: make kernel), or name another with --kernel-elf PATH"


@dataclass(frozen=True, slots=True)
class Target:
    """An image to test; `id` tells it from the others in the names of tests."""

    path: Path
    id: str


@dataclass(frozen=True, slots=True)
class Settings:
    """The options, checked. `given` are the images of the command line."""

    targets: tuple[Target, ...]
    given: tuple[Path, ...]
    cpu: CpuModel
    ram_size: int
    entry_el: EntryLevel
    sanitizer: bool
    tlb_seed: int | None

    @property
    def checks(self) -> dict[str, Any]:
        """The options of `Kernel` that say how its translations are checked."""
        from harness.checks.sanitizer import Options
        from harness.checks.tlb import AdversarialTlb

        tlb = None if self.tlb_seed is None else AdversarialTlb(self.tlb_seed)
        return {"sanitize": Options() if self.sanitizer else None, "tlb": tlb}

    def refuse_missing(self, paths: Iterable[Path]) -> None:
        """Raise a usage error that says how to build what is not there."""
        missing = [str(path) for path in paths if not path.is_file()]
        if missing:
            raise pytest.UsageError(f"no kernel image {', '.join(missing)}: {HOW_TO_BUILD}")


_SETTINGS = pytest.StashKey[Settings]()


def settings_of(config: pytest.Config) -> Settings:
    """The settings of this run. Raises pytest.UsageError for options that make no sense."""
    if _SETTINGS not in config.stash:
        config.stash[_SETTINGS] = _read(config)
    return config.stash[_SETTINGS]


def unwanted_checks(test: pytest.Item) -> tuple[bool, tuple[str, ...]]:
    """What the marker `no_sanitizer` says: whether nothing is wanted, or else what is not."""
    marker = test.get_closest_marker("no_sanitizer")
    checks: tuple[str, ...] = () if marker is None else marker.args
    return marker is not None and not checks, checks


def is_worker(config: pytest.Config) -> bool:
    """Whether this process is one of pytest-xdist's workers."""
    return hasattr(config, "workerinput")


def _read(config: pytest.Config) -> Settings:
    given = tuple(config.invocation_params.dir / each for each in config.getoption("kernel_elf"))
    paths = given or tuple(config.getini("kernel_elf"))
    ids = short_ids(paths)
    return Settings(
        targets=tuple(Target(path, name) for path, name in zip(paths, ids, strict=True)),
        given=given,
        cpu=config.getoption("kernel_cpu"),
        ram_size=_size(config.getoption("kernel_ram")),
        entry_el=config.getoption("kernel_entry_el"),
        sanitizer=config.getoption("kernel_sanitizer") == "on",
        tlb_seed=config.getoption("kernel_tlb"),
    )


def _size(text: str) -> int:
    from harness.report.sizes import parse_size

    try:
        return parse_size(text)
    except ValueError as error:
        raise pytest.UsageError(f"--kernel-ram: {error}") from None


def short_ids(paths: Iterable[Path]) -> list[str]:
    """A short name for each path: the file's, or its folder's where files have the same name."""
    known = list(paths)
    for names in ([p.stem for p in known], [p.parent.name for p in known]):
        if len(set(names)) == len(known):
            return names
    names = [f"{p.parent.name}-{p.stem}" for p in known]
    same = Counter(names)
    return [f"{name}-{at}" if same[name] > 1 else name for at, name in enumerate(names)]
