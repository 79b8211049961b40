# SPDX-License-Identifier: BSD-3-Clause
"""From the text of an expression to a syntax tree: macros expanded, types known, GDB's `@` cut off."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from pycparser import c_ast, c_parser

from harness.debugger.expressions.values import ExpressionError
from harness.errors import ImageError
from harness.image import ElfImage, Macro
from harness.image.cexpr import TYPE_WORDS
from harness.image.preprocessor import Token, expand
from harness.image.types import Array, CType, Function, Pointer

_PARSER = c_parser.CParser()
_KNOWN_TO_C = frozenset((*TYPE_WORDS, "sizeof", "restrict", "_Atomic"))


@dataclass(frozen=True, slots=True)
class Parsed:
    """A tree; `count` is the tree of what stands after `@`."""

    tree: Any
    count: Any = None


def parse(text: str, image: ElfImage, is_variable: Callable[[str], bool]) -> Parsed:
    """The tree of an expression. A name that `is_variable` knows is no macro and no type."""
    tokens = _tokens(text, image, is_variable)
    if not tokens:
        raise ExpressionError("an expression is missing; write one, as in: print frames->count")
    cut = [at for at, token in enumerate(tokens) if token.text == "@"]
    if not cut:
        return Parsed(_tree(tokens, text, image, is_variable))
    left, right = tokens[: cut[0]], tokens[cut[0] + 1 :]
    return Parsed(_tree(left, text, image, is_variable), _tree(right, text, image, is_variable))


def _tokens(text: str, image: ElfImage, is_variable: Callable[[str], bool]) -> list[Token]:
    def macro(name: str) -> Macro | None:
        return None if is_variable(name) or not image.has_dwarf else image.macros.get(name)

    try:
        return expand(text.replace("@", " @ ") if "@" in text else text, macro)
    except ImageError as error:
        raise ExpressionError(str(error)) from None


def _tree(tokens: list[Token], text: str, image: ElfImage, is_variable: Callable[[str], bool]) -> Any:
    names = {token.text for token in tokens if token.kind == "name"} - _KNOWN_TO_C
    tags = {after.text for token, after in pairwise(tokens) if token.text in _TAGS}
    types = [name for name in sorted(names - tags) if not is_variable(name) and _is_type(name, image)]
    source = "".join(f"typedef int {name};" for name in types)
    body = " ".join(token.text for token in tokens)
    try:
        return _PARSER.parse(f"{source} int _(void) {{ return {body}; }}").ext[-1].body.block_items[0].expr
    except (c_parser.ParseError, AttributeError, AssertionError) as error:
        why = str(error).rpartition(": ")[2] or "it ends too early"
        raise ExpressionError(f"not a C expression: {text.strip()!r} ({why})") from None


_TAGS = ("struct", "union", "enum")


def _is_type(name: str, image: ElfImage) -> bool:
    return not name.startswith("$") and image.has_dwarf and name in image.types


def type_of(node: Any, image: ElfImage, count: Callable[[Any], int]) -> CType:
    """The type that a type name stands for; `count` evaluates array lengths."""
    if isinstance(node, c_ast.Typename | c_ast.TypeDecl):
        return type_of(node.type, image, count)
    if isinstance(node, c_ast.PtrDecl):
        return Pointer(type_of(node.type, image, count))
    if isinstance(node, c_ast.ArrayDecl):
        return Array(type_of(node.type, image, count), count(node.dim) if node.dim else None)
    if isinstance(node, c_ast.FuncDecl):
        return Function(type_of(node.type, image, count), ())
    if isinstance(node, c_ast.IdentifierType):
        return _named(" ".join(node.names), image)
    if isinstance(node, c_ast.Struct | c_ast.Union | c_ast.Enum):
        return _named(f"{type(node).__name__.lower()} {node.name}", image)
    raise ExpressionError("this type name is not understood")


def _named(name: str, image: ElfImage) -> CType:
    basic = _BASIC.get(" ".join(sorted(word for word in name.split() if word != "signed")))
    if image.has_dwarf and (basic is None or name in image.types):
        return image.types[name]
    if basic is None:
        raise ExpressionError(f"the type {name} is not known: the image has no DWARF")
    return basic


def _basic() -> dict[str, CType]:
    from harness.debugger.expressions.values import CHAR, INT, LONG, UNSIGNED, UNSIGNED_LONG
    from harness.image.types import VOID, Int

    plain: dict[str, CType] = {"void": VOID, "char": CHAR, "int": INT, "long": LONG, "": INT}
    plain |= {"unsigned": UNSIGNED, "int unsigned": UNSIGNED, "long unsigned": UNSIGNED_LONG}
    plain |= {"int long": LONG, "int long unsigned": UNSIGNED_LONG, "char unsigned": CHAR}
    plain |= {"short": Int("short", 2, signed=True), "short unsigned": Int("unsigned short", 2, signed=False)}
    return plain | {"long long": LONG, "long long unsigned": UNSIGNED_LONG}


_BASIC = _basic()
