# SPDX-License-Identifier: BSD-3-Clause
"""C calls as one types them: `vmm_address_space_region_create(space, 3 << 12, AS_REGION_RW)`.

Names are functions, variables, enumerators and macros of the image, and what was assigned before with
`name = expression`. Members are reached with a dot, also through pointers. A function without a prototype,
as in an image without DWARF, takes numbers and returns one.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from typing import Any

from harness.errors import CallError, HarnessError
from harness.kernel import Kernel
from harness.kernel.call import CFunction

_CONSTANTS = {"NULL": 0, "true": 1, "false": 0}
_OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.BitOr: operator.or_,
    ast.LShift: operator.lshift,
    ast.RShift: operator.rshift,
    ast.BitAnd: operator.and_,
}
_SHIFT_LIMIT = 64


class Evaluator:
    """Evaluates expressions on a booted kernel and remembers what they assign."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self.names: dict[str, Any] = {}

    def evaluate(self, text: str) -> Any:
        """The value of an expression or assignment. Raises CallError for what is neither."""
        try:
            statements = ast.parse(text.strip()).body
        except (SyntaxError, ValueError) as error:
            raise CallError(f"cannot read {text!r}: {error.args[0]}") from None
        if len(statements) != 1:
            raise CallError(f"expected one expression, got {text!r}")
        return self._statement(statements[0], text)

    def _statement(self, node: ast.stmt, text: str) -> Any:
        match node:
            case ast.Expr(value=value):
                return self._value(value)
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                self.names[name] = self._value(value)
                return self.names[name]
        raise CallError(f"expected f(a, b) or name = f(a, b), got {text!r}")

    def _value(self, node: ast.expr) -> Any:
        match node:
            case ast.Constant(value=int() | str() as value):
                return value
            case ast.Name(id=name):
                return self._name(name)
            case ast.Attribute(value=owner, attr=name):
                return _member(self._value(owner), name)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -self._value(operand)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
                return self._binary(type(op), self._value(left), self._value(right))
            case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
                return self._function(name)(*(self._value(each) for each in args))
        raise CallError(f"cannot evaluate {ast.unparse(node)!r}: write names, numbers, strings, f(a, b), a.b")

    def _function(self, name: str) -> CFunction:
        """By its prototype where there is one, else by its symbol."""
        image = self._kernel.image
        if name in image.functions or (image.has_dwarf and name not in image.symbols):
            return self._kernel.function(name)
        return self._kernel.routine(name)

    def _name(self, name: str) -> Any:
        if name in self.names:
            return self.names[name]
        try:
            return getattr(self._kernel, name)
        except AttributeError as error:
            if name in _CONSTANTS:
                return _CONSTANTS[name]
            raise CallError(str(error)) from None

    def _binary(self, kind: type[ast.operator], left: Any, right: Any) -> int:
        if not isinstance(left, int) or not isinstance(right, int):
            raise CallError(f"cannot compute with {left!r} and {right!r}: both must be numbers")
        if kind in (ast.LShift, ast.RShift) and not 0 <= right < _SHIFT_LIMIT:
            raise CallError(f"cannot shift by {right}")
        return int(_OPERATORS[kind](int(left), int(right)))


def _member(owner: Any, name: str) -> Any:
    if name.startswith("_"):
        raise CallError(f"no member {name!r}")
    try:
        return getattr(owner, name)
    except (AttributeError, HarnessError) as error:
        raise CallError(str(error)) from None
