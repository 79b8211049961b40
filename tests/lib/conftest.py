# SPDX-License-Identifier: BSD-3-Clause
"""The seam between the tests of kernel_c's library and what runs it: all they ask is a method of Guest."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import ziglang
from elftools.elf.elffile import ELFFile
from unicorn import UC_ARCH_ARM64, UC_HOOK_CODE, UC_HOOK_MEM_READ, UC_HOOK_MEM_WRITE, UC_MODE_ARM, Uc
from unicorn.arm64_const import (
    UC_ARM64_REG_LR,
    UC_ARM64_REG_PC,
    UC_ARM64_REG_SP,
    UC_ARM64_REG_X0,
)

from harness import Kernel
from harness.pytest_plugin.options import settings_of
from tests.support.guest import KernelGuest

ROOT = Path(__file__).parents[2]
FLAGS = (
    *("-std=c17", "-O2", "-march=armv8-a", "-mgeneral-regs-only", "-mstrict-align"),
    *("-ffreestanding", "-fno-builtin", "-fno-pic"),
    *("-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror"),
)
LINKED, STACK, ARENA, ARENA_SIZE = 0x100000, 0x400000, 0x10000000, 32 << 20
RETURN = STACK + 0x10000
BUDGET = 5_000_000


class GuestPanicError(Exception):
    """The guest called panic(): an assertion of its own failed."""


def compile_guest(folder: Path, *, debug: bool) -> Path:
    """The library, the range tree and the probe as one ELF, built by the clang in the ziglang wheel."""
    zig = [sys.executable, "-m", "ziglang"]
    clang = ["clang", "--target=aarch64-none-elf", f"-resource-dir={Path(ziglang.__file__).parent / 'lib'}"]
    include = [f"-I{ROOT / 'kernel_c'}", f"-I{ROOT / 'kernel_c/include'}", f"-DLUKOS_DEBUG={int(debug)}"]
    sources = [*(ROOT / "kernel_c/lib").glob("*.c"), *(ROOT / "kernel_c/core").glob("vma_tree*.c")]
    sources.append(Path(__file__).with_name("probe.c"))
    subprocess.run([*zig, *clang, *FLAGS, *include, "-c", *map(str, sources)], cwd=folder, check=True)
    objects = [f"{source.stem}.o" for source in sources]
    link = ["ld.lld", "-static", "-e", "0", f"--image-base={LINKED:#x}", "-o", "guest.elf"]
    subprocess.run([*zig, *link, *objects], cwd=folder, check=True)
    return folder / "guest.elf"


class Guest:
    """An AArch64 CPU with the library in its memory. Numbers in and out are unsigned 64-bit."""

    panic = GuestPanicError

    def __init__(self, elf: Path) -> None:
        self._uc = Uc(UC_ARCH_ARM64, UC_MODE_ARM)
        self._uc.mem_map(LINKED, STACK + 0x20000 - LINKED)
        self._uc.mem_map(ARENA, ARENA_SIZE)
        with elf.open("rb") as file:
            image = ELFFile(file)
            for segment in image.iter_segments("PT_LOAD"):
                self._uc.mem_write(segment["p_vaddr"], segment.data())
            table = image.get_section_by_name(".symtab")
            self.symbols = {s.name: s["st_value"] for s in table.iter_symbols()}
        self._top = ARENA

    def reset(self) -> None:
        """Give all memory of alloc() back."""
        self._top = ARENA

    def alloc(self, size: int, *, align: int = 16) -> int:
        """The address of memory whose contents are undefined."""
        address = -(-self._top // align) * align
        self._top = address + size
        assert self._top <= ARENA + ARENA_SIZE
        return address

    def place(self, data: bytes, *, align: int = 16) -> int:
        """The address of a copy of data."""
        address = self.alloc(len(data), align=align)
        self.write(address, data)
        return address

    def read(self, address: int, size: int) -> bytes:
        return bytes(self._uc.mem_read(address, size)) if size else b""

    def write(self, address: int, data: bytes) -> None:
        if data:
            self._uc.mem_write(address, data)

    def call(self, name: str, *arguments: int) -> int:
        """Call a C function by AAPCS64, integers and pointers only; x0 when it returns."""
        stack = STACK - max(0, len(arguments) - 8 + 1) // 2 * 16
        for number, value in enumerate(arguments[:8]):
            self._uc.reg_write(UC_ARM64_REG_X0 + number, value & (1 << 64) - 1)
        for number, value in enumerate(arguments[8:]):
            self.write(stack + 8 * number, (value & (1 << 64) - 1).to_bytes(8, "little"))
        self._uc.reg_write(UC_ARM64_REG_SP, stack)
        self._uc.reg_write(UC_ARM64_REG_LR, RETURN)
        self._uc.ctl_exits_enabled(True)
        self._uc.ctl_set_exits([RETURN, self.symbols["panic"]])
        self._uc.emu_start(self.symbols[name], 0, count=BUDGET)
        if self._uc.reg_read(UC_ARM64_REG_PC) == self.symbols["panic"]:
            raise GuestPanicError(name)
        assert self._uc.reg_read(UC_ARM64_REG_PC) == RETURN, f"{name} is still running after {BUDGET}"
        return int(self._uc.reg_read(UC_ARM64_REG_X0))

    def signed(self, name: str, *arguments: int) -> int:
        """The same for a function that returns int."""
        value = self.call(name, *arguments) & 0xFFFFFFFF
        return value - (value >> 31 << 32)

    def count(self, name: str, *arguments: int) -> int:
        """Call a function and return how many instructions that took, its return included."""
        retired = 0

        def step(*_: object) -> None:
            nonlocal retired
            retired += 1

        hook = self._uc.hook_add(UC_HOOK_CODE, step)
        self._uc.ctl_flush_tb()  # blocks translated before do not know the hook
        self.call(name, *arguments)
        self._uc.hook_del(hook)
        self._uc.ctl_flush_tb()
        return retired

    def unaligned(self, name: str, *arguments: int) -> list[tuple[int, int]]:
        """Call a function and return its (address, size) accesses that would fault with the MMU off."""
        found: list[tuple[int, int]] = []

        def note(_uc: Uc, _access: int, address: int, size: int, *_: object) -> None:
            if address % min(size, 8):
                found.append((address, size))

        hook = self._uc.hook_add(UC_HOOK_MEM_READ | UC_HOOK_MEM_WRITE, note, begin=1, end=0)
        self._uc.ctl_flush_tb()  # blocks translated before do not know the hook
        self.call(name, *arguments)
        self._uc.hook_del(hook)
        self._uc.ctl_flush_tb()
        return found


@pytest.fixture(scope="session")
def debug_guest(tmp_path_factory: pytest.TempPathFactory) -> Guest:
    return Guest(compile_guest(tmp_path_factory.mktemp("debug"), debug=True))


@pytest.fixture(scope="session")
def release_guest(tmp_path_factory: pytest.TempPathFactory) -> Guest:
    """Without assertions: what instruction counts are taken from."""
    return Guest(compile_guest(tmp_path_factory.mktemp("release"), debug=False))


@pytest.fixture
def probe(debug_guest: Guest) -> Guest:
    """The library compiled for the tests, with functions of its headers."""
    debug_guest.reset()
    return debug_guest


@pytest.fixture(scope="session")
def kernel_guest(request: pytest.FixtureRequest) -> Iterator[KernelGuest]:
    """The library as it is in the kernel; one image will do."""
    with Kernel(settings_of(request.config).targets[0].path, ram_size=64 << 20) as kernel:
        yield KernelGuest(kernel)


@pytest.fixture
def guest(kernel_guest: KernelGuest) -> KernelGuest:
    """The same, with nothing allocated."""
    kernel_guest.reset()
    return kernel_guest
