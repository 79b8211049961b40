# SPDX-License-Identifier: BSD-3-Clause
"""Foreign kernels, built by a compiler that is always here."""

from __future__ import annotations

import subprocess
import sys

FLAGS = (
    *("-target", "aarch64-freestanding-none", "-fno-sanitize=all", "-std=c17", "-O2", "-g3", "-fdebug-macro"),
    *("-ffreestanding", "-fno-builtin", "-mgeneral-regs-only", "-mstrict-align", "-nostdlib", "-static"),
)


def build(folder, output, *options):
    """Link all C and assembly files of a folder by its linker script into the ELF file `output`.

    `options` of the compiler go before those that all have.
    """
    sources = sorted(str(path) for path in folder.iterdir() if path.suffix in (".c", ".S"))
    script = next(folder.glob("*.ld"))
    command = [
        sys.executable,
        "-m",
        "ziglang",
        "cc",
        *FLAGS,
        *options,
        "-T",
        str(script),
        *sources,
        "-o",
        str(output),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return output
