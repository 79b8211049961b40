# SPDX-License-Identifier: BSD-3-Clause
"""The rules, one module each."""

from __future__ import annotations

from harness.checks.findings import Rule
from harness.checks.rules.base import Check
from harness.checks.rules.break_before_make import BreakBeforeMake
from harness.checks.rules.descriptor import DescriptorMakesSense
from harness.checks.rules.early_tlbi import EarlyTlbi
from harness.checks.rules.incomplete_tlbi import IncompleteTlbi
from harness.checks.rules.instruction_memory import InstructionMemory
from harness.checks.rules.new_entry import NewEntry
from harness.checks.rules.owed import NothingOwed
from harness.checks.rules.policy import Policy
from harness.checks.rules.system_register import SystemRegister
from harness.checks.rules.table_page import TablePage
from harness.checks.rules.tlbi_scope import TlbiScope

CHECKS: tuple[type[Check], ...] = (
    BreakBeforeMake,
    EarlyTlbi,
    IncompleteTlbi,
    TlbiScope,
    NewEntry,
    TablePage,
    DescriptorMakesSense,
    Policy,
    SystemRegister,
    InstructionMemory,
    NothingOwed,
)
"""All rules, in the order of their numbers."""

RULES: tuple[Rule, ...] = tuple(check.rule for check in CHECKS)
