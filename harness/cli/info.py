# SPDX-License-Identifier: BSD-3-Clause
"""`info`: what is emulated, and how it differs from hardware."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from harness.arch.regime import Regime
from harness.arch.sysreg import fields
from harness.cli.options import boot, boot_options, elf_option, json_option, machine_options
from harness.cli.output import show, show_json
from harness.kernel import Kernel
from harness.report.listing import grid
from harness.report.producer import producer
from harness.report.sizes import format_size

DIFFERENCES = (
    "The TLB has no ASIDs: a change of ASID, and any TLBI by ASID, drops all of it.",
    "Memory is strongly ordered: a missing DSB, DMB or ISB shows nothing.",
    "There are no caches: missing cache maintenance shows nothing; instructions are coherent at once.",
    "No interrupts, no timer, no second CPU, no stage 2, no EL3.",
    "An unbacked table gives a translation fault instead of an external abort.",
    "Time is counted in instructions retired, which are the same in every run.",
)


@click.command(epilog="\b\nExample:\n  python -m harness info --cpu max")
@elf_option()
@boot_options
@machine_options
@json_option
def info(elf: Path, as_json: bool, **options: Any) -> None:
    """Say what machine a kernel runs on, what was built, and how the machine differs from hardware."""
    with boot(elf, **options) as kernel:
        found = {**_image(kernel), **_machine(kernel, options), **_translation(kernel), **_frames(kernel)}
    if as_json:
        show_json({**found, "differences": list(DIFFERENCES)})
    else:
        show(_report(found))


def _image(kernel: Kernel) -> dict[str, Any]:
    return {"image": str(kernel.image.path), "compiler": producer(kernel.image) or None}


def _machine(kernel: Kernel, options: dict[str, Any]) -> dict[str, Any]:
    return {
        "cpu": "Cortex-A72" if options["cpu"] == "a72" else "max: every feature the emulator has",
        "midr": hex(kernel.machine.sysreg["MIDR_EL1"]),
        "ram": options["ram_size"],
        "entry_el": options["entry_el"],
        "emulator": f"unicorn {version('unicorn')}",
        "boot_instructions": kernel.machine.instructions,
    }


def _translation(kernel: Kernel) -> dict[str, Any]:
    if not kernel.machine.virtual.enabled:
        return {"mmu": "off"}
    sysreg = kernel.machine.sysreg
    supported = fields("ID_AA64MMFR0_EL1", sysreg["ID_AA64MMFR0_EL1"])["ASIDBits"]
    return {
        "mmu": "on",
        "kernel_half": _half(kernel.tables().regime),
        "user_half": _half(kernel.tables(half="ttbr0").regime),
        "asid_bits": {"cpu": 16 if supported == 2 else 8, "used": 16 if _wide_asid(sysreg["TCR_EL1"]) else 8},
    }


def _frames(kernel: Kernel) -> dict[str, Any]:
    """What memory is used for after boot, where the kernel has the interface to ask."""
    if "vmm_stats" not in kernel.image.functions:
        return {}
    stats = kernel.new("vmm_stats_t")
    kernel.vmm_stats(stats)
    prefix = "frames_"
    return {"frames": {n.removeprefix(prefix): c for n, c in stats.as_dict().items() if n.startswith(prefix)}}


def _wide_asid(tcr: int) -> bool:
    return bool(fields("TCR_EL1", tcr)["AS"])


def _half(regime: Regime) -> dict[str, int]:
    return {"va_bits": regime.va_bits, "granule": regime.granule.value}


def _report(found: dict[str, Any]) -> RenderableType:
    differences = grid("", "~")
    differences.show_header = False
    for each in DIFFERENCES:
        differences.add_row("-", each)
    return Group(_facts(found), Text(), Text("Not as on hardware", "bold"), differences)


def _facts(found: dict[str, Any]) -> Table:
    table = grid("", "~")
    table.show_header = False
    for name, value in found.items():
        table.add_row(Text(name.replace("_", " "), "bold"), _words(name, value))
    return table


def _words(name: str, value: Any) -> str:
    if name == "ram":
        return format_size(value)
    if name.endswith("_half"):
        return f"{value['va_bits']} bits of VA, {format_size(value['granule'])} granule"
    if name == "frames":
        return ", ".join(f"{count:,} {purpose}" for purpose, count in value.items())
    if name == "asid_bits":
        return f"{value['used']} in use, of {value['cpu']} that the CPU has"
    return f"{value:,}" if isinstance(value, int) else str(value)
