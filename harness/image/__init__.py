# SPDX-License-Identifier: BSD-3-Clause
"""ELF and DWARF of a kernel image: segments, symbols, C types, macros, source lines, unwinding."""

from harness.image.elf import ElfImage, Segment
from harness.image.functions import Functions, Prototype, Variable, Variables
from harness.image.inlines import SourceFrame
from harness.image.lines import LineTable, SourceLocation
from harness.image.lookup import UnknownNameError
from harness.image.macros import MacroTable
from harness.image.preprocessor import Macro
from harness.image.symbols import Symbol, SymbolTable
from harness.image.typedb import TypeDatabase
from harness.image.unwind import Backtrace, Frame, Unwinder

__all__ = [
    "Backtrace",
    "ElfImage",
    "Frame",
    "Functions",
    "LineTable",
    "Macro",
    "MacroTable",
    "Prototype",
    "Segment",
    "SourceFrame",
    "SourceLocation",
    "Symbol",
    "SymbolTable",
    "TypeDatabase",
    "UnknownNameError",
    "Unwinder",
    "Variable",
    "Variables",
]
