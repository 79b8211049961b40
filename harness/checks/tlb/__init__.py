# SPDX-License-Identifier: BSD-3-Clause
"""The adversarial TLB.

Accesses go by way of an ASID-tagged TLB and walk cache that keep every stale entry which the architecture
allows, or lose it, by a seed: a missing DSB, TLBI, ISB or ASID then changes what a program reads.

    Kernel("kernel.elf", tlb=AdversarialTlb(seed=7))

Left to the seed, each time that tables, TLB or registers change:

- whether an entry that was loaded before a change is used, or lost, or a new one is loaded beside it: of two
  that break-before-make would have kept apart either is used, or the CPU takes a TLB conflict abort;
- whether entries that nobody has used are loaded, above all those that are about to be changed;
- whether a TLBI takes effect at once or with the DSB, and whether walks see a store before the DSB behind it:
  if not, they may load again what a TLBI has just invalidated;
- whether a MSR takes effect before the ISB; and in the kernel's half, whether new entries and the end of old
  ones do so before the ISB behind the DSB.

Aborts have ESR and FAR as the CPU's own. Not modelled: other CPUs, and so local TLBIs that should have
reached them; the contiguous hint; memory order and caches; AT instructions, which walk the tables as they
are; LDTR and STTR, which are checked with EL1's rights; what is in a table before it is linked, and stores to
tables that no TTBR leads to, which walks see at once. Fetches leave no entries, but for those of instructions
that take exceptions. Stores to tables by the host are not seen: as with the CPU's own TLB,
`Machine.flush_tlb` is due after them.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.checks.tlb.adversary import Adversary
from harness.machine import Machine


@dataclass(frozen=True, slots=True)
class AdversarialTlb:
    """Which one: runs with the same seed are the same. `capacity` is the number of entries it may keep."""

    seed: int = 0
    capacity: int = 4096

    def attach(self, machine: Machine) -> Adversary:
        """Let it translate for a machine from now on."""
        return Adversary(machine, self.seed, self.capacity)
