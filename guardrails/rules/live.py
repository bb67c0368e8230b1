"""From where could any of some patterns still match, or extend a match, if more text came?

`regex` answers with `partial=True`, once each pattern is made to want one more character than it
needs: then every path that reaches the end of the text is reported, a look-ahead that runs into
the end included, and every path that does not is final.
That is slow; so one pass of Hyperscan over the end of the text first tells which patterns to ask.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Final

import regex

from .bounds import prove
from .prefilter import Whether
from .unfinished import unfinished
from .widening import head, outside

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["NEAR_CHARS", "LiveQuestion"]

# Wants a character and then fails: at the end of the text the path is partial, elsewhere dead. Two
# characters to choose from, because `regex` first looks for a literal that every match must hold,
# and where it finds none it passes over paths that end inside a look-ahead.
_ONE_MORE: Final = "[\U0010fffe\U0010ffff](?!)"

# A pattern that reaches farther is asked about what lies before only if its head, with which
# every longer match begins, occurs there.
NEAR_CHARS: Final = 96


# So little is searched as soon as it is looked at.
_SHORT_CHARS: Final = 24


class LiveQuestion:
    """The question for a set of patterns. Groups in them must be unnamed."""

    def __init__(self, patterns: Sequence[str]) -> None:
        """Compile the questions."""
        self._near = tuple(_Question(pattern) for pattern in patterns)
        self._left = max((prove(pattern).left for pattern in patterns), default=0)
        self._unfinished = Whether(unfinished(pattern) for pattern in patterns)
        self._far = tuple(question for question in self._near if question.reach > NEAR_CHARS)
        self._far_chars = max((question.reach for question in self._far), default=0)
        self._heads = Whether(head(each.pattern, NEAR_CHARS)[0] for each in self._far)
        # Which pattern reached back farthest of late; asked first, it often answers for all.
        self._usual = 0

    def start(self, text: str, begin: int, *, timeout_s: float | None = None) -> int:
        """The first place from `begin` on that is not final yet; the text's length if all is.

        Raises:
            TimeoutError: if it took longer than `timeout_s`.
        """
        live = end = len(text)
        near = max(begin, end - NEAR_CHARS)
        unfinished = self._unfinished.possible(text[max(0, near - self._left) :])
        if self._usual in unfinished:
            unfinished.remove(self._usual)
            unfinished.insert(0, self._usual)
        for index in unfinished:
            question = self._near[index]
            first = question.first(text, max(near, end - question.reach), live)
            if first < live and (start := question.start(text, first, timeout_s)) < live:
                live, self._usual = start, index
                if live == begin:
                    return live
        if begin < near:
            for index in self._heads.possible(text[max(begin, end - self._far_chars) :]):
                question = self._far[index]
                first = question.first(text, max(begin, end - question.reach), live)
                if first < near:
                    live = min(live, question.start(text, first, timeout_s))
        return live


class _Question:
    """One pattern; compiled when it is first asked, for most never are."""

    def __init__(self, pattern: str) -> None:
        bounds = prove(pattern)
        self.pattern = pattern
        self.reach = bounds.reach
        self._right = bounds.right

    @functools.cached_property
    def _search(self) -> Callable[..., regex.Match[str] | None]:
        return regex.compile(f"(?:{self.pattern}){_ONE_MORE}").search

    @functools.cached_property
    def _last_outside(self) -> Callable[..., regex.Match[str] | None] | None:
        stranger = outside(self.pattern)
        return regex.compile(f"(?r){stranger}").search if stranger else None

    def first(self, text: str, begin: int, live: int) -> int:
        """From where on a match that reaches the end of the text may begin.

        After the last character that no match contains, unless a look-ahead may see it. That is
        worth a look where much is left to search, or where what comes from `live` on is no news.
        """
        is_short = live == len(text) and live - begin < _SHORT_CHARS
        if is_short or self._last_outside is None:
            return begin
        found = self._last_outside(text, begin, max(begin, len(text) - self._right))
        return begin if found is None else found.end()

    def start(self, text: str, begin: int, timeout_s: float | None) -> int:
        """The first place from `begin` on where a match could still begin or extend."""
        found = self._search(text, begin, partial=True, timeout=timeout_s)
        return len(text) if found is None else found.start()
