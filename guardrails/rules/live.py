"""From where could any of some patterns still match, or extend a match, if more text came?

`regex` answers with `partial=True`, once each pattern is made to want one more character than it
needs: then every path that reaches the end of the text is reported, a look-ahead that runs into
the end included, and every path that does not is final.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import regex

from .bounds import prove
from .prefilter import Whether
from .widening import begins_with, head

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["LiveQuestion"]

# Wants a character and then fails: at the end of the text the path is partial, elsewhere dead.
_ONE_MORE: Final = "\U0010ffff(?!)"

# The last characters of a text, about which all patterns are asked in one search; those that
# reach less far are asked about fewer.
_NEAREST_CHARS: Final = 32
_SHORT_CHARS: Final = 96
_NUMBER_STARTS: Final = "0123456789+-("


class LiveQuestion:
    """The question for a set of patterns. Groups in them must be unnamed.

    Near the end of the text all patterns are asked together. A pattern that reaches farther is
    asked by itself, and only if its head, with which every longer match begins, occurs there.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        """Compile the questions."""
        nearest = [each for each in patterns if prove(each).reach <= _NEAREST_CHARS]
        others = [each for each in patterns if prove(each).reach > _NEAREST_CHARS]
        self._near = tuple(
            (_question(group), chars)
            for group, chars in ((nearest, _NEAREST_CHARS), (others, _SHORT_CHARS))
            if group
        )
        far = [pattern for pattern in patterns if prove(pattern).reach > _SHORT_CHARS]
        self._far = tuple((_question([pattern]), prove(pattern).reach) for pattern in far)
        self._far_chars = max((reach for _, reach in self._far), default=0)
        self._heads = Whether(head(pattern, _SHORT_CHARS)[0] for pattern in far)

    def start(self, text: str, begin: int, *, timeout_s: float | None = None) -> int:
        """The first place from `begin` on that is not final yet; the text's length if all is.

        Raises:
            TimeoutError: if it took longer than `timeout_s`.
        """
        live = end = len(text)
        for question, chars in self._near:
            live = min(live, _first(question, text, max(begin, end - chars), timeout_s))
        if begin < end - _SHORT_CHARS:
            for index in self._heads.possible(text[max(begin, end - self._far_chars) :]):
                question, reach = self._far[index]
                live = min(live, _first(question, text, max(begin, end - reach), timeout_s))
        return live


def _first(question: regex.Pattern[str], text: str, begin: int, timeout_s: float | None) -> int:
    found = question.search(text, begin, partial=True, timeout=timeout_s)
    return len(text) if found is None else found.start()


def _question(patterns: Sequence[str]) -> regex.Pattern[str]:
    """One search for all; those that begin with a digit or its like are tried only there."""
    numbers = [pattern for pattern in patterns if begins_with(pattern, _NUMBER_STARTS)]
    others = [pattern for pattern in patterns if pattern not in numbers]
    gated = [f"(?=[{regex.escape(_NUMBER_STARTS)}])(?:{_either(numbers)})"] if numbers else []
    return regex.compile(f"(?:{_either([*gated, *others])}){_ONE_MORE}")


def _either(patterns: Sequence[str]) -> str:
    return "|".join(f"(?:{pattern})" for pattern in patterns)
