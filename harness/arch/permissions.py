# SPDX-License-Identifier: BSD-3-Clause
"""Stage 1 access permissions of the EL1&0 regime (Arm DDI 0487, D8.4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness.arch.bits import bit
from harness.arch.descriptor import Descriptor

Access = Literal["r", "w", "x"]


@dataclass(frozen=True, slots=True)
class Rights:
    """What one exception level may do with a page."""

    read: bool = False
    write: bool = False
    execute: bool = False

    def allows(self, access: Access) -> bool:
        """Whether an access of this kind goes through."""
        return {"r": self.read, "w": self.write, "x": self.execute}[access]

    def __str__(self) -> str:
        flags = zip("rwx", (self.read, self.write, self.execute), strict=True)
        return "".join(name if granted else "-" for name, granted in flags)


NO_RIGHTS = Rights()


@dataclass(frozen=True, slots=True)
class Permissions:
    """What EL0 and EL1 may do with a page."""

    el0: Rights = NO_RIGHTS
    el1: Rights = NO_RIGHTS

    def at(self, el: int) -> Rights:
        """The rights at EL0 or EL1."""
        if el not in (0, 1):
            raise ValueError(f"the EL1&0 regime has permissions for EL 0 and 1, not {el}")
        return self.el1 if el else self.el0

    def __str__(self) -> str:
        return f"EL0 {self.el0} EL1 {self.el1}"


NO_PERMISSIONS = Permissions()


@dataclass(frozen=True, slots=True)
class TableLimits:
    """What the table descriptors above a leaf take away (D8.4.2, hierarchical control)."""

    no_el0: bool = False
    read_only: bool = False
    uxn: bool = False
    pxn: bool = False

    def below(self, table: Descriptor) -> TableLimits:
        """The limits for everything reached through `table`."""
        return TableLimits(
            no_el0=self.no_el0 or bit(table.ap_table, 0),
            read_only=self.read_only or bit(table.ap_table, 1),
            uxn=self.uxn or table.uxn_table,
            pxn=self.pxn or table.pxn_table,
        )


def permissions(
    leaf: Descriptor, limits: TableLimits, *, wxn: bool = False, pan: bool = False
) -> Permissions:
    """Combine a leaf's AP, UXN, PXN with the limits of its tables, SCTLR_EL1.WXN and PSTATE.PAN.

    What EL0 may write is never executable at EL1, whatever PXN says (D8.4.5).
    """
    user = bit(leaf.ap, 0) and not limits.no_el0
    writable = not (bit(leaf.ap, 1) or limits.read_only)
    user_writable = user and writable
    shut_out = pan and user
    uxn = leaf.uxn or limits.uxn or (wxn and user_writable)
    pxn = leaf.pxn or limits.pxn or user_writable or (wxn and writable)
    return Permissions(
        el0=Rights(read=user, write=user_writable, execute=not uxn),
        el1=Rights(read=not shut_out, write=writable and not shut_out, execute=not pxn),
    )
