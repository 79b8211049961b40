# SPDX-License-Identifier: BSD-3-Clause
"""What the debugger shows: values, memory, registers, source, instructions, tables. Nothing here prints."""
