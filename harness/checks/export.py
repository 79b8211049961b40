# SPDX-License-Identifier: BSD-3-Clause
"""Findings for other programs: JSON, and SARIF 2.1.0 for code review tools."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from harness.checks.findings import Finding, Rule, Where
from harness.checks.rules import RULES

SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_SOURCE = re.compile(r"\((.+):(\d+)(?::\d+)?\)$")


def as_json(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """The findings as plain data."""
    return [finding.as_dict() for finding in findings]


def as_sarif(findings: Sequence[Finding]) -> dict[str, Any]:
    """The findings as one run of this tool."""
    driver = {"name": "lukos-sanitizer", "rules": [_rule(rule) for rule in RULES]}
    run = {"tool": {"driver": driver}, "results": [_result(finding) for finding in findings]}
    return {"$schema": SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}


def rules_table() -> str:
    """The rules as a table in Markdown."""
    rows = [f"| {rule.number} | {rule.name} | {rule.reference} | {rule.summary} |" for rule in sorted_rules()]
    return "\n".join(["| | rule | Arm DDI 0487 | what it says |", "|---|---|---|---|", *rows])


def sorted_rules() -> list[Rule]:
    """All rules by number."""
    return sorted(RULES, key=lambda rule: rule.number)


def _rule(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.name,
        "shortDescription": {"text": rule.summary},
        "help": {"text": f"Arm DDI 0487, {rule.reference}"},
    }


def _result(finding: Finding) -> dict[str, Any]:
    text = finding.message + (f" (missing: {finding.missing})" if finding.missing else "")
    result: dict[str, Any] = {
        "ruleId": finding.rule.name,
        "level": "error",
        "message": {"text": text},
        "locations": [_location(finding.where)],
        "properties": finding.as_dict(),
    }
    if finding.seen_at is not None:
        result["relatedLocations"] = [_location(finding.seen_at)]
    return result


def _location(where: Where) -> dict[str, Any]:
    """The source line where it is known; always the address."""
    physical: dict[str, Any] = {"address": {"absoluteAddress": where.pc}}
    source = _SOURCE.search(where.source)
    if source is not None:
        physical["artifactLocation"] = {"uri": source[1]}
        physical["region"] = {"startLine": int(source[2])}
    return {"physicalLocation": physical, "message": {"text": where.source or f"{where.pc:#x}"}}
