# SPDX-License-Identifier: BSD-3-Clause
"""Cobertura's XML (coverage-04.dtd), which CI services read."""

from __future__ import annotations

from pathlib import PurePosixPath
from xml.etree import ElementTree as ET

from harness.checks.coverage import Coverage, FileCoverage
from harness.checks.coverage.source import Ratio, ratio
from harness.report.coverage.lcov import by_line

_HEADER = (
    '<?xml version="1.0" ?>\n'
    '<!DOCTYPE coverage SYSTEM "http://cobertura.sourceforge.net/xml/coverage-04.dtd">\n'
)


def cobertura(coverage: Coverage) -> str:
    """One package for each folder, one class for each file."""
    root = ET.Element("coverage", _rates(coverage.lines(), coverage.branches()))
    for name, each in (("lines", coverage.lines()), ("branches", coverage.branches())):
        root.set(f"{name}-covered", str(each.reached))
        root.set(f"{name}-valid", str(each.total))
    root.attrib |= {"complexity": "0", "version": "1", "timestamp": "0"}
    ET.SubElement(ET.SubElement(root, "sources"), "source").text = "."
    packages = ET.SubElement(root, "packages")
    folders = sorted({str(PurePosixPath(path).parent) for path in coverage.files})
    for folder in folders:
        _package(packages, folder, coverage)
    ET.indent(root)
    return _HEADER + ET.tostring(root, encoding="unicode") + "\n"


def _package(packages: ET.Element, folder: str, coverage: Coverage) -> None:
    paths = sorted(path for path in coverage.files if str(PurePosixPath(path).parent) == folder)
    rates = _rates(coverage.lines(paths), coverage.branches(paths))
    name = folder.replace("/", ".")
    package = ET.SubElement(packages, "package", {"name": name, "complexity": "0", **rates})
    classes = ET.SubElement(package, "classes")
    for path in paths:
        _file(classes, path, coverage.files[path])


def _file(classes: ET.Element, path: str, each: FileCoverage) -> None:
    rates = _rates(ratio(each.lines.values()), ratio(each.outcomes.values()))
    names = {"name": PurePosixPath(path).name, "filename": path, "complexity": "0"}
    element = ET.SubElement(classes, "class", names | rates)
    ET.SubElement(element, "methods")
    lines = ET.SubElement(element, "lines")
    branches = {line: ratio(each.outcomes[o] for o in outcomes) for line, outcomes in by_line(each)}
    for number, reached in sorted(each.lines.items()):
        line = ET.SubElement(lines, "line", {"number": str(number), "hits": str(int(reached))})
        line.set("branch", "true" if number in branches else "false")
        if number in branches:
            found = branches[number]
            line.set("condition-coverage", f"{found.percent:.0f}% ({found.reached}/{found.total})")


def _rates(lines: Ratio, branches: Ratio) -> dict[str, str]:
    return {"line-rate": f"{lines.percent / 100:.4f}", "branch-rate": f"{branches.percent / 100:.4f}"}
