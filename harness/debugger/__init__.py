# SPDX-License-Identifier: BSD-3-Clause
"""The debugger: a kernel's execution forwards and backwards, by commands or by GDB."""
