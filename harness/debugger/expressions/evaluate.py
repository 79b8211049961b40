# SPDX-License-Identifier: BSD-3-Clause
"""Evaluating an expression's tree on the stopped machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from pycparser import c_ast

from harness.debugger.expressions.parse import parse, type_of
from harness.debugger.expressions.values import (
    CHAR,
    INT,
    LONG,
    UNSIGNED,
    UNSIGNED_LONG,
    CValue,
    ExpressionError,
    common,
    from_number,
    promoted,
)
from harness.errors import HarnessError
from harness.image import ElfImage
from harness.image.cexpr import ARITHMETIC, COMPARISONS, Names, evaluate, literal, string_value
from harness.image.preprocessor import Token, tokenize
from harness.image.types import Array, CType, Enum, Function, Int, Member, Pointer, Record, sizeof, strip


class Scope(Protocol):
    """What the names in an expression mean, and the memory behind them."""

    image: ElfImage

    def lookup(self, name: str) -> CValue | None:
        """A variable, a function, a register or a convenience variable; None when there is none."""

    def is_variable(self, name: str) -> bool:
        """Whether a name is a variable in scope, before it can be a macro or a type."""

    def read(self, address: int, size: int) -> bytes:
        """Memory. Raises HarnessError."""

    def assign(self, target: CValue, data: bytes) -> None:
        """Change what a value was read from."""

    def convenience(self, name: str, value: CValue) -> None:
        """Set a convenience variable or a register by its name with the dollar sign."""

    def call(self, function: str, arguments: list[Any]) -> CValue:
        """Call a function of the kernel."""


class Evaluator:
    """Evaluates expressions in a scope."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    def evaluate(self, text: str) -> CValue:
        """The value of an expression. Raises ExpressionError, or what reading memory raises."""
        parsed = parse(text, self._scope.image, self._scope.is_variable)
        try:
            value = self._value(parsed.tree)
            if parsed.count is None:
                return value
            if value.address is None:
                raise ExpressionError("only what is in memory can be repeated with @")
            return self.at(value.address, Array(value.type, self._value(parsed.count).number))
        except RecursionError:
            raise ExpressionError(f"too deeply nested: {text[:60]}") from None

    def type_name(self, text: str) -> CType | None:
        """The type that a text names, or None when it is an expression."""
        try:
            parsed = parse(f"sizeof({text})", self._scope.image, self._scope.is_variable)
        except ExpressionError:
            return None
        inside = parsed.tree.expr if isinstance(parsed.tree, c_ast.UnaryOp) else None
        return self._type(inside) if isinstance(inside, c_ast.Typename) else None

    def at(self, address: int, ctype: CType) -> CValue:
        """The value of a type at an address."""
        real = strip(ctype)
        if isinstance(real, Function):
            return CValue(ctype, None, address)
        size = ctype.size
        if size is None:
            raise ExpressionError(f"{ctype} has no size: it is incomplete, void or a flexible array")
        return CValue(ctype, self._scope.read(address, size), address)

    def _type(self, node: Any) -> CType:
        return type_of(node, self._scope.image, lambda dim: self._value(dim).number)

    def _value(self, node: Any) -> CValue:
        handler = _HANDLERS.get(type(node))
        if handler is None:
            raise ExpressionError(f"{type(node).__name__} is not supported in expressions here")
        return handler(self, node)

    # -- leaves -----------------------------------------------------------------------------------------

    def _constant(self, node: c_ast.Constant) -> CValue:
        if node.type == "string":
            data = (string_value(tokenize(node.value)) or "").encode() + b"\0"
            return CValue(Array(CHAR, len(data)), data)
        if "float" in node.type or "double" in node.type:
            raise ExpressionError("floating-point numbers are not supported")
        try:
            if node.type == "char":
                return from_number(evaluate([Token("character", node.value)], Names({}, {})), CHAR)
            value = literal(node.value)
        except HarnessError as error:
            raise ExpressionError(str(error)) from None
        return from_number(value.number, _INTEGERS[value.bits, value.signed])

    def _name(self, node: c_ast.ID) -> CValue:
        found = self._scope.lookup(node.name)
        if found is not None:
            return found
        image = self._scope.image
        if image.has_dwarf and node.name in image.types.enumerators:
            return from_number(image.types.enumerators[node.name], _enum_of(image, node.name))
        raise ExpressionError(f'No symbol "{node.name}" in current context.')

    # -- postfix ----------------------------------------------------------------------------------------

    def _member(self, node: c_ast.StructRef) -> CValue:
        owner = self._value(node.name)
        if node.type == "->" or isinstance(strip(owner.type), Pointer):
            owner = self._follow(owner)
        real = strip(owner.type)
        if not isinstance(real, Record):
            raise ExpressionError(f"{owner.type} has no members")
        return self._part(owner, real.member(node.field.name))

    def _part(self, owner: CValue, member: Member) -> CValue:
        if owner.data is None:
            return CValue(member.type, None)
        if member.bit_size is not None:
            return _bit_field(owner, member)
        address = None if owner.address is None else owner.address + member.offset
        if member.type.size is None:  # a flexible array
            return CValue(member.type, b"", address)
        return CValue(member.type, owner.data[member.offset : member.offset + member.type.size], address)

    def _index(self, node: c_ast.ArrayRef) -> CValue:
        owner, index = self._value(node.name), self._value(node.subscript).number
        real = strip(owner.type)
        if isinstance(real, Array) and owner.address is None and owner.data is not None:
            size = sizeof(real.element)
            if not 0 <= index < len(owner.data) // size:
                raise ExpressionError(f"index {index} of {owner.type}")
            return CValue(real.element, owner.data[index * size : (index + 1) * size])
        element = owner.target
        return self.at((promoted(owner).number + index * sizeof(element)) % (1 << 64), element)

    def _follow(self, pointer: CValue) -> CValue:
        target = pointer.target
        if target.size is None and not isinstance(strip(target), Function):
            raise ExpressionError(f"cannot follow {pointer.type}: cast it to a pointer to what is there")
        return self.at(promoted(pointer).number, target)

    def _call(self, node: c_ast.FuncCall) -> CValue:
        if not isinstance(node.name, c_ast.ID):
            raise ExpressionError("only functions can be called, by their names")
        arguments = [self._value(each) for each in node.args.exprs] if node.args else []
        return self._scope.call(node.name.name, [_argument(each) for each in arguments])

    # -- operators --------------------------------------------------------------------------------------

    def _unary(self, node: c_ast.UnaryOp) -> CValue:
        if node.op == "sizeof":
            ctype = (
                self._type(node.expr)
                if isinstance(node.expr, c_ast.Typename)
                else self._value(node.expr).type
            )
            return from_number(sizeof(ctype), UNSIGNED_LONG)
        value = self._value(node.expr)
        if node.op == "*":
            return value if isinstance(strip(value.type), Function) else self._follow(value)
        if node.op == "&":
            if value.address is None or value.bits is not None:
                where = f"it is in ${value.register}" if value.register else "it is not in memory"
                raise ExpressionError(f"cannot take the address: {where}")
            return from_number(value.address, Pointer(value.type))
        if node.op == "!":
            return from_number(not value.number, INT)
        value = promoted(value)
        if node.op not in _UNARY:
            raise ExpressionError(f"{node.op} is not supported; to change something, use: set var x = 1")
        return from_number(_UNARY[node.op](value.number), value.type)

    def _binary(self, node: c_ast.BinaryOp) -> CValue:
        left = self._value(node.left)
        if node.op in ("&&", "||"):
            decided = bool(left.number) == (node.op == "||")
            return from_number(bool(left.number) if decided else bool(self._value(node.right).number), INT)
        return _operate(node.op, promoted(left), promoted(self._value(node.right)))

    def _ternary(self, node: c_ast.TernaryOp) -> CValue:
        return self._value(node.iftrue if self._value(node.cond).number else node.iffalse)

    def _cast(self, node: c_ast.Cast) -> CValue:
        ctype, value = self._type(node.to_type), self._value(node.expr)
        if isinstance(strip(ctype), Record | Array):
            if value.address is None:
                raise ExpressionError(f"cannot cast to {ctype}: the value is not in memory")
            return self.at(value.address, ctype)
        return from_number(promoted(value).number, ctype)

    def _assign(self, node: c_ast.Assignment) -> CValue:
        right = self._value(node.rvalue)
        if isinstance(node.lvalue, c_ast.ID) and node.lvalue.name.startswith("$"):
            if node.op != "=":
                right = _operate(node.op[:-1], promoted(self._value(node.lvalue)), promoted(right))
            self._scope.convenience(node.lvalue.name, right)
            return right
        target = self._value(node.lvalue)
        if node.op != "=":
            right = _operate(node.op[:-1], promoted(target), promoted(right))
        data = right.data if strip(right.type) is strip(target.type) else None
        if data is None:
            data = from_number(promoted(right).number, target.type).data
        assert data is not None
        self._scope.assign(target, data)
        return CValue(target.type, data, target.address, target.register, target.bits)

    def _comma(self, node: c_ast.ExprList) -> CValue:
        return [self._value(each) for each in node.exprs][-1]


_INTEGERS = {(32, True): INT, (32, False): UNSIGNED, (64, True): LONG, (64, False): UNSIGNED_LONG}
_UNARY: dict[str, Callable[[int], int]] = {"-": lambda x: -x, "~": lambda x: ~x, "+": lambda x: x}
_HANDLERS: dict[type, Callable[[Evaluator, Any], CValue]] = {
    c_ast.Constant: Evaluator._constant,
    c_ast.ID: Evaluator._name,
    c_ast.StructRef: Evaluator._member,
    c_ast.ArrayRef: Evaluator._index,
    c_ast.FuncCall: Evaluator._call,
    c_ast.UnaryOp: Evaluator._unary,
    c_ast.BinaryOp: Evaluator._binary,
    c_ast.TernaryOp: Evaluator._ternary,
    c_ast.Cast: Evaluator._cast,
    c_ast.Assignment: Evaluator._assign,
    c_ast.ExprList: Evaluator._comma,
}


def _operate(operator: str, left: CValue, right: CValue) -> CValue:
    """A binary operation on promoted values."""
    if operator in ("+", "-") and (left.is_pointer or right.is_pointer):
        return _pointer_arithmetic(operator, left, right)
    ctype: CType = left.type if operator in ("<<", ">>") else common(left.type, right.type)
    if operator in ("<<", ">>"):
        shift, bits = right.number, 8 * sizeof(ctype)
        if not 0 <= shift < bits:
            raise ExpressionError(f"shift of a {bits}-bit value by {shift}")
        return from_number(left.number << shift if operator == "<<" else left.number >> shift, ctype)
    one, two = (from_number(each.number, ctype).number for each in (left, right))
    if operator in COMPARISONS:
        return from_number(COMPARISONS[operator](one, two), INT)
    if operator in ("/", "%") and not two:
        raise ExpressionError("Division by zero")
    return from_number(ARITHMETIC[operator](one, two), ctype)


def _pointer_arithmetic(operator: str, left: CValue, right: CValue) -> CValue:
    if left.is_pointer and right.is_pointer:
        if operator == "+":
            raise ExpressionError("two pointers cannot be added")
        return from_number((left.number - right.number) // (left.target.size or 1), LONG)
    pointer, count = (left, right.number) if left.is_pointer else (right, left.number)
    if right.is_pointer and operator == "-":
        raise ExpressionError("a pointer cannot be subtracted from a number")
    step = (pointer.target.size or 1) * count  # void as in GNU C
    return from_number(pointer.number + (step if operator == "+" else -step), pointer.type)


def _bit_field(owner: CValue, member: Member) -> CValue:
    assert owner.data is not None
    bit, width = member.bit_offset or 0, member.bit_size or 0
    first, size = bit // 8, (bit % 8 + width + 7) // 8
    raw = int.from_bytes(owner.data[first : first + size], "little") >> bit % 8 & ((1 << width) - 1)
    real = strip(member.type)
    if isinstance(real, Int | Enum) and real.signed and raw >> (width - 1):
        raw -= 1 << width
    address = None if owner.address is None else owner.address + first
    return CValue(member.type, from_number(raw, member.type).data, address, bits=(bit % 8, width))


def _enum_of(image: ElfImage, name: str) -> CType:
    """The enumeration that an enumerator belongs to."""
    return image.types.enumeration_of(name) or INT


def _argument(value: CValue) -> Any:
    """A value as the facade's calls take it."""
    real = strip(value.type)
    if isinstance(real, Array) and value.address is None and value.data is not None:
        return value.data[:-1].decode(errors="surrogateescape")
    return promoted(value).number
