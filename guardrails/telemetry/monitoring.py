"""Aggregates for those who answer for the guard's fairness: counts and scores, never a text.

Off unless VEDETTE_GUARDRAILS_MONITOR says otherwise. Looks at whole texts: prompts, and answers
that are not streamed.

Covered: the writing system of a text, as a stand-in for its language; plain English mentions of
some groups of people, with the highest moderation score of the text.
Not covered: the language itself, other words for the groups, and who is meant.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from typing import TYPE_CHECKING, Final, Protocol

import regex

from servicekit import instruments, names

if TYPE_CHECKING:
    from opentelemetry.metrics import Meter

    from guardrails.findings import Action, Direction, Execution

__all__ = ["TextMonitor"]

_LETTERS_SEEN: Final = 200
_SCRIPTS: Final = frozenset(
    {"ARABIC", "CJK", "CYRILLIC", "DEVANAGARI", "GREEK", "HANGUL", "HEBREW", "HIRAGANA", "LATIN"}
)
_GROUPS: Final = {
    "asian_people": r"asian(?: people|s)",
    "black_people": r"black (?:people|women|men)",
    "christians": r"christians?",
    "disabled_people": r"disabled (?:people|women|men)|blind people|deaf people|autistic people",
    "gay_people": r"gay (?:people|women|men)|gays|lesbians?",
    "immigrants": r"immigrants?|refugees?",
    "jewish_people": r"jews?|jewish (?:people|women|men)",
    "men": r"men",
    "muslims": r"muslims?",
    "old_people": r"(?:old|elderly) (?:people|women|men)",
    "trans_people": r"trans(?:gender)? (?:people|women|men)",
    "women": r"women",
}
_MENTIONS: Final = regex.compile(
    r"\b(?:" + "|".join(f"(?P<{name}>{words})" for name, words in _GROUPS.items()) + r")\b",
    regex.IGNORECASE,
)


class _Outcome(Protocol):
    @property
    def action(self) -> Action:
        """The strictest action."""

    @property
    def executions(self) -> tuple[Execution, ...]:
        """What became of each detector."""


class TextMonitor:
    """Looks at checked texts and counts."""

    def __init__(self, meter: Meter) -> None:
        """Record with this meter."""
        self._texts = instruments.MONITORED_TEXTS.counter(meter)
        self._scores = instruments.GROUP_SCORES.histogram(meter)

    def note(self, text: str, outcome: _Outcome, direction: Direction) -> None:
        """A text was checked."""
        self._texts.add(
            1,
            {
                names.SCRIPT: script_of(text),
                names.GUARD_DIRECTION: direction.value,
                names.GUARD_ACTION: outcome.action.name.lower(),
            },
        )
        groups = groups_in(text)
        if groups:
            scores = [e.score for e in outcome.executions if "moderation" in e.detector]
            for group in groups:
                self._scores.record(max(scores, default=0.0), {names.GROUP: group})


def script_of(text: str) -> str:
    """The writing system of most of the first letters, in lower case; `other` or `none`."""
    letters = [character for character in text[: 4 * _LETTERS_SEEN] if character.isalpha()]
    found = Counter(
        unicodedata.name(letter, "").partition(" ")[0] for letter in letters[:_LETTERS_SEEN]
    )
    if not found:
        return "none"
    [(script, _)] = found.most_common(1)
    return script.lower() if script in _SCRIPTS else "other"


def groups_in(text: str) -> set[str]:
    """The groups that a text mentions."""
    return {match.lastgroup for match in _MENTIONS.finditer(text) if match.lastgroup}
