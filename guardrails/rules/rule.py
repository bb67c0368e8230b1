"""One rule: a pattern with its proven bounds, and the other signals that make it a match."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .bounds import Bounds, prove
from .prefilter import Beside, Sought

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Context", "Rule"]

VALUE_GROUP = "value"

# So short a word is an abbreviation, and the beginning of too many others.
_ABBREVIATION_CHARS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """Words shortly before a value that make it more likely.

    Only to the left: a word to the right would hold back every text that contains a candidate.
    """

    words: tuple[str, ...]
    score: float
    chars: int = 48

    @property
    def pattern(self) -> str:
        """The words as one pattern, case ignored; longer words may go on, as in `telephones`."""
        words = "|".join(re.escape(word) + _ending(word) for word in self.words)
        return rf"(?i:(?<!\w)(?:{words}))"

    def compile(self) -> re.Pattern[str]:
        """A faster one for text in lower case."""
        words = "|".join(re.escape(word) + _ending(word) for word in self.words)
        return re.compile(rf"(?<!\w)(?:{words})")


def _ending(word: str) -> str:
    return r"(?!\w)" if len(word) <= _ABBREVIATION_CHARS else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A named pattern of a category.

    A candidate is what the pattern matches; where the pattern has a group named `value`, the
    match is that group. `accept` decides on a complete candidate (a checksum, a parse) and never
    moves a boundary; `narrow` says which part of a complete candidate is the match, if any.
    `score` is how sure the rule is by itself, `context` what words add, `alone` how sure it is of
    a candidate that has a line to itself, as in a form.
    A rule with a score of 0 counts only beside its words.
    `hint` is a simpler pattern that every match begins with, where the pattern itself is too rich
    for the prefilter; `openings` are plain texts instead, see `Sought`.
    """

    id: str
    category: str
    pattern: str
    score: float = 0.9
    accept: Callable[[str], bool] | None = None
    narrow: Callable[[str], tuple[int, int] | None] | None = None
    context: Context | None = None
    alone: float | None = None
    hint: str | None = None
    openings: tuple[tuple[str, int], ...] = ()
    bounds: Bounds = field(init=False)

    def __post_init__(self) -> None:
        """Prove the bounds.

        Raises:
            PatternError: if the pattern is outside the dialect.
        """
        object.__setattr__(self, "bounds", prove(self.pattern))

    @property
    def sought(self) -> Sought:
        """What the prefilter has to look for."""
        beside = None
        if self.context is not None and not self.score and not self.alone:
            beside = Beside(words=self.context.pattern, chars=self.context.chars)
        return Sought(pattern=self.pattern, hint=self.hint, openings=self.openings, beside=beside)

    @property
    def left_chars(self) -> int:
        """How many characters before a match can matter."""
        # One more than the window: a word of it begins where no word character stands before.
        return max(1, self.bounds.left, self.context.chars + 1 if self.context else 0)
