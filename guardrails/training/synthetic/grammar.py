r"""Phrase grammars in plain text, and the random expansion of them.

A file holds rules: a line `@name`, then one production a line. In a production, `[a|b]` chooses,
`{name}` expands another rule, a bare `|` at the top level chooses too, `\n` is a line break and a
backslash takes the next character as it is. `{name_s}` expands `name` as a sentence.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable
    from random import Random

__all__ = ["Grammar", "packaged"]

_FOLDER: Final = Path(__file__).parent / "phrases"

# A production is a list of choices; a choice is a sequence of literal text, choices and names.
_Choice = tuple["_Node", ...]


@dataclass(frozen=True, slots=True)
class _Reference:
    name: str


@dataclass(frozen=True, slots=True)
class _Either:
    choices: tuple[_Choice, ...]


_Node = str | _Reference | _Either


class GrammarError(ValueError):
    """A phrase file is wrong; the text names the production."""


@dataclass(slots=True)
class Grammar:
    """Rules by name."""

    rules: dict[str, list[_Either]] = field(default_factory=dict)

    def expand(self, name: str, rng: Random) -> str:
        """One random text of a rule."""
        sentence = name not in self.rules and name.endswith("_s")
        text = self._any(rng.choice(self.rules[name.removesuffix("_s") if sentence else name]), rng)
        return as_sentence(text) if sentence else text

    def read(self, text: str) -> None:
        """Add the rules of one file.

        Raises:
            GrammarError: if brackets do not pair.
        """
        rule: list[_Either] = []
        for line in text.splitlines():
            if line.startswith("@"):
                rule = self.rules.setdefault(line[1:], [])
            elif line.strip():
                rule.append(_Parser(line).parse())

    def share(self, name: str, texts: Iterable[str]) -> None:
        """Let half of a rule's expansions be one of these texts, taken as they are."""
        given = [_Either(((text,),)) for text in texts]
        if given:
            self.rules[f"given_{name}"] = given
            shared = _Either(((_Reference(f"given_{name}"),),))
            self.rules[name] = self.rules[name] + [shared] * len(self.rules[name])

    def _any(self, either: _Either, rng: Random) -> str:
        return "".join(self._node(node, rng) for node in rng.choice(either.choices))

    def _node(self, node: _Node, rng: Random) -> str:
        if isinstance(node, str):
            return node
        if isinstance(node, _Reference):
            return self.expand(node.name, rng)
        return self._any(node, rng)


class _Parser:
    def __init__(self, line: str) -> None:
        self._line = line
        self._at = 0

    def parse(self) -> _Either:
        either = self._choices()
        if self._at < len(self._line):
            raise GrammarError(f"a bracket closes that was not open: {self._line}")
        return either

    def _choices(self) -> _Either:
        choices: list[_Choice] = []
        nodes: list[_Node] = []
        while self._at < len(self._line) and self._line[self._at] != "]":
            char = self._line[self._at]
            self._at += 1
            if char == "|":
                choices.append(tuple(nodes))
                nodes = []
            else:
                nodes.append(self._one(char))
        return _Either((*choices, tuple(nodes)))

    def _one(self, char: str) -> _Node:
        if char == "\\":
            char = self._line[self._at]
            self._at += 1
            return "\n" if char == "n" else char
        if char == "{" and (end := self._line.find("}", self._at)) > 0:
            name, self._at = self._line[self._at : end], end + 1
            return _Reference(name)
        if char == "[":
            either = self._choices()
            if self._at >= len(self._line):
                raise GrammarError(f"a bracket stays open: {self._line}")
            self._at += 1
            return either
        return char


def as_sentence(text: str) -> str:
    """With a capital letter and a full stop."""
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if text[-1:] in ".?!:" else ".")


def packaged(names: Iterable[str] | None = None) -> Grammar:
    """The phrase files that come with this package; all of them, or the named ones."""
    grammar = Grammar()
    for path in sorted(_FOLDER.glob("*.txt")):
        if names is None or path.stem in names:
            grammar.read(path.read_text(encoding="utf-8"))
    return grammar
