# SPDX-License-Identifier: BSD-3-Clause
"""The Arm architecture as pure functions: descriptors, syndromes, system registers, the table walk."""

from harness.arch.descriptor import Descriptor, Granule, decode
from harness.arch.esr import Syndrome, decode_esr
from harness.arch.permissions import Access, Permissions, Rights
from harness.arch.regime import Half, Regime
from harness.arch.walker import Fault, Mapping, Step, TablePage, Walk, Walker

__all__ = [
    "Access",
    "Descriptor",
    "Fault",
    "Granule",
    "Half",
    "Mapping",
    "Permissions",
    "Regime",
    "Rights",
    "Step",
    "Syndrome",
    "TablePage",
    "Walk",
    "Walker",
    "decode",
    "decode_esr",
]
