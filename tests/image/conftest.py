# SPDX-License-Identifier: BSD-3-Clause
"""The sample program, compiled at run time with every AArch64 compiler that is here."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.image import ElfImage

ROOT = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
# Where `make toolchain` puts the named compiler, as in toolchain.cmake.
SAMPLE = Path(__file__).parent / "sample"
PLACES = (ROOT / ".toolchain/aarch64-none-elf/bin", CACHE / "lukos/aarch64-none-elf/bin")
FLAGS = ("-std=c17", "-ffreestanding", "-nostdlib", "-static", "-mgeneral-regs-only", "-O2", "-fno-builtin")


@dataclass(frozen=True, slots=True)
class Compiler:
    """A compiler driver and the debugging format asked of it."""

    name: str
    command: tuple[str, ...]
    dwarf: int = 5

    def __str__(self) -> str:
        return f"{self.name}-dwarf{self.dwarf}"

    @property
    def debug(self) -> tuple[str, ...]:
        """Options for full debugging information, macros included."""
        return ("-g3", f"-gdwarf-{self.dwarf}", *(("-fdebug-macro",) if self.name == "zig" else ()))

    def build(self, sources: Iterable[Path], output: Path, *options: str, debug: bool = True) -> Path:
        """Compile and link `sources`; options come last, so that they win."""
        chosen = self.debug if debug else ("-g0",)
        command = [*self.command, *FLAGS, *chosen, *options, *map(str, sources), "-o", str(output)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stderr}"
        return output


def _drivers() -> dict[str, tuple[str, ...]]:
    path = os.pathsep.join([os.environ.get("PATH", ""), *map(str, PLACES)])
    found = {name: shutil.which(f"aarch64-{name}-gcc", path=path) for name in ("none-elf", "linux-gnu")}
    gcc = {name: (driver,) for name, driver in found.items() if driver}
    zig = (sys.executable, "-m", "ziglang", "cc", "-target", "aarch64-freestanding-none", "-fno-sanitize=all")
    return gcc | {"zig": zig}


COMPILERS = tuple(Compiler(name, command, dwarf) for name, command in _drivers().items() for dwarf in (4, 5))
"""Every compiler that is here (clang, from PyPI, always is), with DWARF 4 and 5."""
ANY = COMPILERS[-1]
"""One that is always here, for what does not depend on the compiler."""


@pytest.fixture(scope="session", params=COMPILERS, ids=str)
def compiler(request: pytest.FixtureRequest) -> Compiler:
    """Each compiler that is here, with DWARF 4 and with DWARF 5."""
    chosen: Compiler = request.param
    return chosen


@pytest.fixture(scope="session")
def any_compiler() -> Compiler:
    """A compiler that is always here."""
    return ANY


@pytest.fixture(scope="session")
def sample_path(compiler: Compiler, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ELF file of the sample program."""
    return build_sample(compiler, tmp_path_factory)


@pytest.fixture(scope="session")
def sample(sample_path: Path) -> ElfImage:
    """The sample program's image."""
    return ElfImage.load(sample_path)


@pytest.fixture(scope="session")
def plain_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample program by one compiler, for what does not depend on it."""
    return build_sample(ANY, tmp_path_factory)


def build_sample(compiler: Compiler, folders: pytest.TempPathFactory) -> Path:
    """Compile the sample program into a folder of its own."""
    return compiler.build(
        sorted(SAMPLE.glob("*.[cS]")), folders.mktemp("sample") / "sample.elf", "-Wl,-e,_start"
    )
