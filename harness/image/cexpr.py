# SPDX-License-Identifier: BSD-3-Clause
"""Integer constant expressions of C (C17, 6.6), with C's widths and signs, in the LP64 model."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from harness.errors import ImageError
from harness.image.preprocessor import Token
from harness.image.types import CType, Enum, Int, Pointer, sizeof, strip

INT_BITS, LONG_BITS = 32, 64
# Binary operators by how tightly they bind, loosest first (C17, 6.5.5 to 6.5.14).
LEVELS: Final = (
    ("||",), ("&&",), ("|",), ("^",), ("&",), ("==", "!="), ("<", ">", "<=", ">="),
    ("<<", ">>"), ("+", "-"), ("*", "/", "%"),
)  # fmt: skip
NUMBER: Final = re.compile(r"(0[xX][0-9a-fA-F]+|0[bB][01]+|\d+)([uUlL]*)")
ESCAPES: Final = {"n": 10, "t": 9, "r": 13, "a": 7, "b": 8, "f": 12, "v": 11, "e": 27}
ESCAPE: Final = re.compile(r"\\(?:x([0-9a-fA-F]+)|([0-7]{1,3})|(.))|([^\\])", re.DOTALL)
BASE_WORDS: Final = ("void", "char", "short", "int", "long", "signed", "unsigned", "_Bool", "bool")
TYPE_WORDS: Final = frozenset((*BASE_WORDS, "struct", "union", "enum", "const", "volatile"))


@dataclass(frozen=True, slots=True)
class Value:
    """An integer of a C type: 32 or 64 bits after promotion, signed or not.

    `size` is that of the type before promotion in bytes, where a cast made it a small one, else 0.
    """

    number: int
    bits: int = INT_BITS
    signed: bool = True
    size: int = 0

    @classmethod
    def wrap(cls, number: int, bits: int, signed: bool) -> Value:
        """`number` reduced to what the type can hold, then promoted (C17, 6.3.1.1)."""
        number &= (1 << bits) - 1
        if signed and number >> (bits - 1):
            number -= 1 << bits
        return cls(number, bits, signed) if bits >= INT_BITS else cls(number, size=bits // 8)


@dataclass(frozen=True, slots=True)
class Names:
    """What identifiers in an expression can mean."""

    types: Mapping[str, CType]
    enumerators: Mapping[str, int]


def evaluate(tokens: list[Token], names: Names) -> int:
    """The value of an integer constant expression. Raises ImageError when it is none."""
    parser = _Parser(tokens, names)
    try:
        value = parser.conditional()
    except ZeroDivisionError as error:
        raise ImageError(f"division by zero in {parser.text}") from error
    except RecursionError as error:
        raise ImageError(f"too deeply nested: {parser.text[:60]}...") from error
    if parser.peek():
        raise parser.error()
    return value.number


def string_value(tokens: list[Token]) -> str | None:
    """The text of a string literal, adjacent ones joined; None when the tokens are something else."""
    if not tokens or any(token.kind != "string" for token in tokens):
        return None
    return "".join(_unescape(token.text[token.text.index('"') + 1 : -1]) for token in tokens)


def _unescape(text: str) -> str:
    def one(match: re.Match[str]) -> str:
        hexadecimal, octal, letter, plain = match.groups()
        if plain:
            return str(plain)
        code = int(hexadecimal, 16) if hexadecimal else int(octal, 8) if octal else ESCAPES.get(letter)
        return str(letter) if code is None else chr(min(code, 0x10FFFF))

    return ESCAPE.sub(one, text)


class _Parser:
    """Recursive descent over the tokens; `live` is off where C does not evaluate (1 || 1 / 0)."""

    def __init__(self, tokens: list[Token], names: Names) -> None:
        self.tokens = tokens
        self.names = names
        self.position = 0
        self.live = True

    @property
    def text(self) -> str:
        """The whole expression, for messages."""
        return " ".join(token.text for token in self.tokens)

    def error(self) -> ImageError:
        """What to say about a token that does not fit."""
        where = self.peek() or "the end"
        return ImageError(f"not an integer constant expression, at {where}: {self.text or '(empty)'}")

    def peek(self) -> str:
        """The next token's text, "" at the end."""
        return self.tokens[self.position].text if self.position < len(self.tokens) else ""

    def take(self) -> Token:
        """The next token."""
        if self.position >= len(self.tokens):
            raise self.error()
        self.position += 1
        return self.tokens[self.position - 1]

    def expect(self, text: str) -> None:
        """Take one certain token."""
        if self.peek() != text:
            raise self.error()
        self.position += 1

    def silent(self, parse: Callable[[], Value], *, live: bool) -> Value:
        """Parse an operand that is evaluated only if `live`."""
        before, self.live = self.live, self.live and live
        try:
            return parse()
        finally:
            self.live = before

    def conditional(self) -> Value:
        """condition ? one : other"""
        condition = self.binary(0)
        if self.peek() != "?":
            return condition
        self.take()
        one = self.silent(self.conditional, live=bool(condition.number))
        self.expect(":")
        other = self.silent(self.conditional, live=not condition.number)
        bits, signed = _common(one, other)
        return Value.wrap((one if condition.number else other).number, bits, signed)

    def binary(self, level: int) -> Value:
        """Operators of `level` and of all that bind more tightly."""
        if level == len(LEVELS):
            return self.unary()
        left = self.binary(level + 1)
        while self.peek() in LEVELS[level]:
            operator = self.take().text
            decided = operator in ("&&", "||") and bool(left.number) == (operator == "||")
            right = self.silent(lambda: self.binary(level + 1), live=not decided)
            left = self.apply(operator, left, right)
        return left

    def apply(self, operator: str, left: Value, right: Value) -> Value:
        """One binary operation."""
        if operator in ("&&", "||"):
            both = bool(left.number), bool(right.number)
            return Value(int(all(both) if operator == "&&" else any(both)))
        if operator in ("<<", ">>"):
            return _shifted(operator, left, right)
        bits, signed = _common(left, right)
        one, two = (Value.wrap(v.number, bits, signed).number for v in (left, right))
        if operator in COMPARISONS:
            return Value(int(COMPARISONS[operator](one, two)))
        if operator in ("/", "%") and not two and not self.live:
            return Value(0, bits, signed)
        return Value.wrap(ARITHMETIC[operator](one, two), bits, signed)

    def unary(self) -> Value:
        """Casts, sizeof, + - ~ ! and operands."""
        token = self.take()
        if token.text in ("+", "-", "~"):
            value = self.unary()
            number = {"+": value.number, "-": -value.number, "~": ~value.number}[token.text]
            return Value.wrap(number, value.bits, value.signed)
        if token.text == "!":
            return Value(int(not self.unary().number))
        if token.text == "sizeof":
            return self.sizeof()
        if token.text == "(":
            return self.parenthesis()
        return self.operand(token)

    def parenthesis(self) -> Value:
        """A cast or an expression in parentheses."""
        ctype = self.type_name()
        if ctype is None:
            value = self.conditional()
            self.expect(")")
            return value
        self.expect(")")
        return self.cast(ctype, self.unary())

    def sizeof(self) -> Value:
        """sizeof (type) or sizeof expression."""
        if self.peek() == "(":
            start = self.position
            self.take()
            ctype = self.type_name()
            if ctype is not None:
                self.expect(")")
                try:
                    return Value(sizeof(ctype), LONG_BITS, signed=False)
                except ValueError as error:
                    raise ImageError(str(error)) from error
            self.position = start
        operand = self.silent(self.unary, live=False)
        return Value(operand.size or operand.bits // 8, LONG_BITS, signed=False)

    def cast(self, ctype: CType, value: Value) -> Value:
        """The value converted to an integer or pointer type."""
        plain = strip(ctype)
        if isinstance(plain, Int) and plain.is_bool:
            return Value(int(bool(value.number)), size=plain.size)
        if isinstance(plain, Int | Enum) and plain.size:
            return Value.wrap(value.number, 8 * plain.size, plain.signed)
        if isinstance(plain, Pointer):
            return Value.wrap(value.number, LONG_BITS, signed=False)
        raise self.error()

    def type_name(self) -> CType | None:
        """The type at this point, or None when something else stands here."""
        words, start = list[str](), self.position
        while self.position < len(self.tokens) and self.starts_type(words):
            words.append(self.take().text)
        stars = 0
        while words and self.peek() in ("*", "const", "volatile"):
            stars += self.take().text == "*"
        base = " ".join(word for word in words if word not in ("const", "volatile"))
        if not base:
            self.position = start
            return None
        found = self.names.types["_Bool" if base == "bool" else base]
        for _ in range(stars):
            found = Pointer(found)
        return found

    def starts_type(self, words: list[str]) -> bool:
        """Whether the next token belongs to a type name of which `words` are read."""
        token = self.tokens[self.position]
        if token.kind != "name":
            return False
        if words and words[-1] in ("struct", "union", "enum"):
            return True
        if token.text in TYPE_WORDS:
            return True
        plain = [word for word in words if word not in ("const", "volatile")]
        return not plain and token.text not in self.names.enumerators and token.text in self.names.types

    def operand(self, token: Token) -> Value:
        """A number, a character or an enumerator."""
        if token.kind == "number":
            return literal(token.text)
        if token.kind == "character":
            text = _unescape(token.text[token.text.index("'") + 1 : -1])
            return Value.wrap(ord(text), INT_BITS, signed=True) if len(text) == 1 else self.fail()
        if token.kind == "name" and token.text in self.names.enumerators:
            return _smallest(self.names.enumerators[token.text])
        return self.fail()

    def fail(self) -> Value:
        """Refuse the token just taken."""
        self.position -= 1
        raise self.error()


def literal(text: str) -> Value:
    """An integer constant; its type is the first that holds it (C17, 6.4.4.1)."""
    match = NUMBER.fullmatch(text)
    if match is None:
        raise ImageError(f"not an integer constant: {text}")
    digits, suffix = match[1].lower(), match[2].lower()
    octal = digits[0] == "0" and digits.isdigit()
    number = int(digits, 8) if octal else int(digits, 0)
    decimal = digits.isdigit() and not octal
    for bits in (LONG_BITS,) if "l" in suffix else (INT_BITS, LONG_BITS):
        if "u" not in suffix and number < 1 << (bits - 1):
            return Value(number, bits)
        if ("u" in suffix or not decimal or bits == LONG_BITS) and number < 1 << bits:
            return Value(number, bits, signed=False)
    raise ImageError(f"{text} does not fit 64 bits")


def _smallest(number: int) -> Value:
    """An enumerator: an int where it fits."""
    if -(1 << 31) <= number < 1 << 31:
        return Value(number)
    return Value.wrap(number, LONG_BITS, signed=number < 1 << 63)


def _common(left: Value, right: Value) -> tuple[int, bool]:
    """The usual arithmetic conversions (C17, 6.3.1.8)."""
    bits = max(left.bits, right.bits)
    return bits, all(value.signed for value in (left, right) if value.bits == bits)


def _shifted(operator: str, left: Value, right: Value) -> Value:
    if not 0 <= right.number < left.bits:
        raise ImageError(f"shift of a {left.bits}-bit value by {right.number}")
    number = left.number << right.number if operator == "<<" else left.number >> right.number
    return Value.wrap(number, left.bits, left.signed)


def _divide(left: int, right: int) -> int:
    quotient = abs(left) // abs(right)
    return quotient if (left < 0) == (right < 0) else -quotient


COMPARISONS: Final[dict[str, Callable[[int, int], bool]]] = {
    "==": lambda left, right: left == right,
    "!=": lambda left, right: left != right,
    "<": lambda left, right: left < right,
    ">": lambda left, right: left > right,
    "<=": lambda left, right: left <= right,
    ">=": lambda left, right: left >= right,
}
ARITHMETIC: Final[dict[str, Callable[[int, int], int]]] = {
    "+": lambda left, right: left + right,
    "-": lambda left, right: left - right,
    "*": lambda left, right: left * right,
    "/": _divide,
    "%": lambda left, right: left - right * _divide(left, right),
    "&": lambda left, right: left & right,
    "|": lambda left, right: left | right,
    "^": lambda left, right: left ^ right,
}
