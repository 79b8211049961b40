# SPDX-License-Identifier: BSD-3-Clause
"""C's tokens and macro expansion (C17, 6.4 and 6.10.3), for what macros of an image stand for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from harness.errors import ImageError

TOKEN: Final = re.compile(
    r"""(?P<space>\s+)
    |(?P<name>[A-Za-z_$][\w$]*)
    |(?P<number>\.?\d(?:[eEpP][+-]|[\w.])*)
    |(?P<string>(?:u8|[uUL])?"(?:[^"\\]|\\.)*")
    |(?P<character>[uUL]?'(?:[^'\\]|\\.)+')
    |(?P<operator>\#\#|<<|>>|<=|>=|==|!=|&&|\|\||->|\.\.\.|[-+*/%&|^~!<>=?:(){}\[\],.;\#@\\`])""",
    re.VERBOSE,
)
EXPANSION_LIMIT: Final = 20_000  # tokens; macros can grow exponentially


@dataclass(frozen=True, slots=True)
class Macro:
    """A macro as it was defined; `parameters` is None for one that takes none ("object-like")."""

    name: str
    parameters: tuple[str, ...] | None
    text: str

    def __str__(self) -> str:
        parameters = "" if self.parameters is None else f"({', '.join(self.parameters)})"
        return f"#define {self.name}{parameters} {self.text}".rstrip()


@dataclass(frozen=True, slots=True)
class Token:
    """A preprocessing token; `hidden` names the macros that it may not be expanded by again."""

    kind: str
    text: str
    hidden: frozenset[str] = frozenset()


Lookup = Callable[[str], Macro | None]


def parse_definition(text: str) -> Macro:
    """A macro from the text that DWARF keeps of it: "NAME value" or "NAME(a,b) value"."""
    match = re.match(r"([\w$]+)(?:\(([^)]*)\))?\s*", text)
    if match is None:
        raise ValueError(f"macro definition {text!r}")
    name, parameters = match[1], match[2]
    names = None if parameters is None else tuple(p.strip() for p in parameters.split(",") if p.strip())
    return Macro(name, names, text[match.end() :].rstrip())


def tokenize(text: str) -> list[Token]:
    """The tokens of `text`, white space left out. Raises ImageError for what is no C."""
    return [token for token in _scan(text) if token.kind != "space"]


def _scan(text: str) -> Iterator[Token]:
    position = 0
    while position < len(text):
        match = TOKEN.match(text, position)
        if match is None:
            raise ImageError(f"not C: {text[position:]!r}")
        yield Token(str(match.lastgroup), match[0])
        position = match.end()


def expand(text: str, lookup: Lookup) -> list[Token]:
    """The tokens of `text` with all macros replaced. Raises ImageError for wrong arguments."""
    return _Expansion(lookup).run(tokenize(text))


class _Expansion:
    """Prosser's algorithm: a token carries the names of the macros that produced it."""

    def __init__(self, lookup: Lookup) -> None:
        self.lookup = lookup
        self.work = 0

    def run(self, tokens: list[Token]) -> list[Token]:
        pending, done = tokens[::-1], list[Token]()
        while pending:
            self.work += 1
            if self.work > EXPANSION_LIMIT:
                raise ImageError("macro expansion grows without end")
            token = pending.pop()
            macro = (
                self.lookup(token.text) if token.kind == "name" and token.text not in token.hidden else None
            )
            if macro is None:
                done.append(token)
            elif macro.parameters is None:
                pending += self.replace(macro, {}, token.hidden)[::-1]
            elif pending and pending[-1].text == "(":
                arguments = self.bind(macro, _arguments(pending, macro))
                pending += self.replace(macro, arguments, token.hidden)[::-1]
            else:
                done.append(token)
        return done

    def bind(self, macro: Macro, arguments: list[list[Token]]) -> dict[str, list[Token]]:
        """Arguments by parameter name."""
        names = list(macro.parameters or ())
        if names and names[-1].endswith("..."):
            names[-1] = names[-1].removesuffix("...").strip() or "__VA_ARGS__"
            rest = arguments[len(names) - 1 :]
            comma = Token("operator", ",")
            joined = [t for n, each in enumerate(rest) for t in ([comma] if n else []) + each]
            arguments = [*arguments[: len(names) - 1], joined]
        if not names and arguments == [[]]:
            arguments = []
        if len(names) != len(arguments):
            raise ImageError(f"macro {macro.name} takes {len(names)} arguments, not {len(arguments)}")
        return dict(zip(names, arguments, strict=True))

    def replace(self, macro: Macro, arguments: dict[str, list[Token]], hidden: frozenset[str]) -> list[Token]:
        """The macro's replacement with its arguments put in."""
        body, out = tokenize(macro.text), list[Token]()
        names = hidden | {macro.name}
        for index, token in enumerate(body):
            before = body[index - 1].text if index else ""
            after = body[index + 1].text if index + 1 < len(body) else ""
            if token.text == "##" or (token.text == "#" and after in arguments):
                continue
            if before == "#" and token.text in arguments:
                piece = [_stringize(arguments[token.text])]
            elif token.text not in arguments:
                piece = [token]
            elif "##" in (before, after):
                piece = arguments[token.text]
            else:
                piece = self.run(list(arguments[token.text]))
            if before == "##" and out and piece:
                out[-1:] = tokenize(out[-1].text + piece[0].text)
                piece = piece[1:]
            out += piece
        return [Token(token.kind, token.text, token.hidden | names) for token in out]


def _arguments(pending: list[Token], macro: Macro) -> list[list[Token]]:
    """Take the arguments, parentheses included, off `pending` (which is reversed)."""
    depth, arguments = 0, list[list[Token]]([[]])
    while pending:
        token = pending.pop()
        depth += (token.text == "(") - (token.text == ")")
        if depth == 0:
            return arguments
        if depth == 1 and token.text == ",":
            arguments.append([])
        elif depth > 1 or token.text != "(":
            arguments[-1].append(token)
    raise ImageError(f"macro {macro.name} is called without a closing parenthesis")


def _stringize(tokens: list[Token]) -> Token:
    text = " ".join(token.text for token in tokens)
    return Token("string", '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"')
