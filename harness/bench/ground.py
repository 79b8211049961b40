# SPDX-License-Identifier: BSD-3-Clause
"""What operations are measured on: an active address space with N VMAs, one page each, side by side."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

from harness.bench.barriers import counting
from harness.errors import HarnessError
from harness.kernel import Kernel
from harness.kernel.session import RETURN_ADDRESS

PAGE, LARGE, HUGE = 1 << 12, 1 << 21, 1 << 30

# Makes x21 VMAs without leaving the guest, as a call for each from the host would take far longer:
# x19 struct uk_vas *, x20 __vaddr_t *, x22 name, x23 difference to the other name, x24 ops, x25 __VADDR_ANY,
# x26 uk_vma_map, x27 where to return to; all of them survive calls (AAPCS64).
_FILL = struct.pack(
    "<15I",
    0xF900_0299,  # str  x25, [x20]
    0xAA13_03E0,  # mov  x0, x19
    0xAA14_03E1,  # mov  x1, x20
    0xD282_0002,  # mov  x2, #4096
    0xD280_0063,  # mov  x3, #PAGE_ATTR_PROT_RW
    0xD280_0004,  # mov  x4, #0
    0xAA16_03E5,  # mov  x5, x22
    0xAA18_03E6,  # mov  x6, x24
    0xD280_0007,  # mov  x7, #0
    0xD63F_0340,  # blr  x26
    0x3500_0080,  # cbnz w0, out
    0xCA17_02D6,  # eor  x22, x22, x23
    0xF100_06B5,  # subs x21, x21, #1
    0x54FF_FE61,  # b.ne -52
    0xD61F_0360,  # out: br x27
)
_KEPT = tuple(f"x{number}" for number in range(19, 31))


@dataclass(frozen=True, slots=True)
class Cost:
    """What one call took."""

    instructions: int
    tlbi: int
    dsb: int


class Ground:
    """A VAS with `count` VMAs from its base on. They differ in name, or they would be one."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.count = 0
        space = kernel.vmm_address_space_create()
        if not space or kernel.vmm_address_space_activate(space) != 0:
            raise HarnessError("no address space to measure in: is there enough memory?")
        self.vas = space.vas
        self.base = int(self.vas.vma_base)
        self._names = [int(kernel.buffer(name, 64)) for name in (b"even\0", b"odd\0", b"measured\0")]
        self._va = kernel.new("__vaddr_t")
        self._dma = kernel.new("struct uk_vma_dma_args")
        self._code = self._place_code()

    @property
    def last(self) -> int:
        """The address of the last VMA."""
        return self.base + (self.count - 1) * PAGE

    @property
    def far(self) -> int:
        """An address above all of them at a multiple of 1G, with no table there but the root's."""
        return -(-(self.base + self.count * PAGE) // HUGE) * HUGE + HUGE

    def grow(self, count: int) -> None:
        """More VMAs, up to `count`."""
        wanted, registers = count - self.count, self.kernel.machine.registers
        if wanted <= 0:
            return
        kept = {name: registers[name] for name in (*_KEPT, "pc", "sp")}
        even, odd = self._names[:2]
        name = odd if self.count % 2 else even
        function = self.kernel.function("uk_vma_map").address
        ops = self.kernel.variable("uk_vma_anon_ops").address
        values = (self.vas.address, int(self._va), wanted, name, even ^ odd, ops, self._any, function)
        for number, value in enumerate((*values, RETURN_ADDRESS)):
            registers[f"x{19 + number}"] = value
        registers["pc"] = self._code
        try:
            self.kernel.session.run_function("uk_vma_map", None)
            status = registers["x0"] & 0xFFFF_FFFF
        finally:
            for register, value in kept.items():
                registers[register] = value
        if status:
            raise HarnessError(f"{count:,} VMAs cannot be made: status {status - (1 << 32)}")
        self.count = count

    def call(self, name: str, *arguments: Any) -> None:
        """Make a call that has to succeed."""
        self._succeeded(name, self.kernel.function(name)(*arguments))

    def counted(self, name: str, *arguments: Any) -> Cost:
        """The cost of such a call."""
        with counting(self.kernel) as counts:
            result, instructions = self.kernel.function(name).counted(*arguments)
        self._succeeded(name, result)
        return Cost(instructions, counts["tlbi"], counts["dsb"])

    def map(self, size: int, **options: Any) -> int:
        """A VMA, named as no other; where it is. Options as of map_arguments()."""
        self.call("uk_vma_map", *self.map_arguments(size, **options))
        return int(self._va.target)

    def map_arguments(
        self, size: int, *, at: int | None = None, flags: int = 0, kind: str = "anon", pa: int = 0
    ) -> tuple[Any, ...]:
        """What uk_vma_map() is called with for a VMA of a kind, at an address or wherever it fits."""
        self._set_va(self._any if at is None else at)
        self._dma.paddr = pa
        ops, args = self.kernel.variable(f"uk_vma_{kind}_ops"), self._dma if kind == "dma" else None
        return self.vas, self._va, size, self.kernel.PAGE_ATTR_PROT_RW, flags, self._names[2], ops, args

    def replace_last(self, size: int, flags: int = 0) -> int:
        """Let the last VMA be another one; where it is."""
        at = self.last
        self.call("uk_vma_unmap", self.vas, at, PAGE, 0)
        return self.map(size, at=at, flags=flags)

    @property
    def _any(self) -> int:
        return int(self.kernel.image.macros.value("__VADDR_ANY"))

    def _set_va(self, va: int) -> None:
        self.kernel.write(None, int(self._va), va.to_bytes(8, "little"))

    def _succeeded(self, name: str, result: object) -> None:
        if type(result) is int and result != 0:
            status = self.kernel.status_name(result).string()
            raise HarnessError(f"{name} failed while it was measured: {status}")

    def _place_code(self) -> int:
        """_FILL in a page of the kernel's own VAS, from where EL1 may execute it."""
        kernel = self.kernel
        arguments = (PAGE, kernel.PAGE_ATTR_PROT_RX, kernel.UK_VMA_MAP_POPULATE, None)
        self._set_va(self._any)
        ops = kernel.variable("uk_vma_anon_ops")
        self.call("uk_vma_map", kernel.vas_of_kernel(), self._va, *arguments, ops, None)
        kernel.write(None, int(self._va.target), _FILL)
        return int(self._va.target)
