"""The same three orders in every language of the vocabulary, each a rule of its own.

To ignore what the model was told, to disclose it, and to be without rules from now on. A rule
wants the words of an order in a word order of the language, with at most a few words between
them. Where the verb is negated, or the phrase is quoted and no more, it says nothing.

What is searched for are the first letters of the words that an order can begin with; what follows
there is looked at once the rest of the sentence has come. That keeps a hundred rules small.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import regex

from guardrails.normalise import FOLDED
from guardrails.rules import Rule

from .openings import openings
from .quoting import CLOSED, OPENED, is_said
from .vocabulary import LANGUAGES, Language

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["RULES"]

# Between two words of a phrase: spaces, line ends, light punctuation.
_GAP: Final = r"[\s,;:*_\"'-]{1,6}"
_WORD: Final = r"[\w'-]{1,16}"
_MOST_GAP: Final = 6
# Some characters of the same sentence, where words run on; and the rest of it.
_RUN: Final = r"[^.!?\n]"
_REST: Final = rf"[^.!?]{{0,62}}{CLOSED}"
# Between a verb and the word before it that turns it into its opposite.
_NEAR: Final = r"[\s,']{0,2}"
# So many first letters tell a word from most others; where words run on, letters say more.
_LETTERS: Final = 6
# Words, or a few in a row, that are so long are rare; so far behind a verb they may begin.
_WORDS: Final = regex.compile(r"(?<![\w\\])[a-z]{4,}(?:(?:-\?| )[a-z]{4,})*")
_LONG: Final = 9
_AHEAD: Final = 40
# So many letters in a row are rare enough.
_TELLING: Final = 4
_LETTERS_UNSPACED: Final = 3


def _rules(language: Language) -> Iterator[Rule]:
    orders = _Unspaced(language) if language.unspaced else _Spaced(language)
    apart = "" if language.unspaced else r"(?<!\w)"
    negated = _folded(rf"(?<!{_either(language.negation)}{_NEAR})")
    for name, (order, first_words), then in (
        ("override", orders.override_order(), ""),
        ("disclose", orders.disclose_order(), "" if language.unspaced else language.hidden),
        ("unbound", orders.unbound_order(), ""),
    ):
        beginnings = _beginnings(first_words, then=then, unspaced=language.unspaced)
        begin = f"{OPENED}(?:{'|'.join(each.pattern for each in beginnings)})"
        yield Rule(
            id=f"injection.{name}.{language.code}",
            category="INJECTION",
            pattern=rf"{apart}{negated}(?=(?P<value>{begin}{_REST})){apart}{begin}",
            openings=tuple((each.telling, each.chars) for each in beginnings),
            narrow=_at_once(_folded(f"{OPENED}{order}{CLOSED}")),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Beginning:
    """The first letters of an order; `telling` are those of them that are rare elsewhere."""

    pattern: str
    telling: str
    chars: int


def _beginnings(words: str, *, then: str, unspaced: bool) -> list[_Beginning]:
    """The first letters of the words; whole words where they are short.

    A short word in letters that English has too is left out: to look at every place where it
    stands would make all texts dear. It counts before one of the long words of `then`, which are
    looked for instead. Several short words count with one space between them.
    """
    rare = sorted({each for each in _WORDS.findall(_folded(then)) if len(each) >= _LONG})
    begun, whole = openings(_folded(words), _LETTERS_UNSPACED if unspaced else _LETTERS)
    found = []
    for text in sorted(begun | whole):
        words_in, gap = text.split(" "), _GAP
        telling = max(words_in, key=len)
        if telling.isascii() and len(telling) <= _TELLING and len(words_in) > 1:
            telling, gap = text, " "
        if telling.isascii() and len(telling) < _TELLING:
            if text in whole and len(words_in) == 1:
                found += [
                    _Beginning(
                        pattern=(rf"{text}(?!\w)(?=[^.!?]{{0,{_AHEAD}}}{word.replace(' ', _GAP)})"),
                        telling=word,
                        chars=len(text) + _AHEAD + len(word) + _MOST_GAP * word.count(" ") + 2,
                    )
                    for word in rare
                ]
            continue
        if text in whole and len(telling) == _TELLING and not unspaced:
            telling = rf"(?<!\w){text}(?!\w)"
        end = r"(?!\w)" if text in whole and not unspaced else ""
        found.append(
            _Beginning(
                pattern=text.replace(" ", gap) + end,
                telling=telling,
                chars=len(text) + _MOST_GAP * text.count(" ") + 2,
            )
        )
    return found


def _folded(pattern: str) -> str:
    """The pattern for text in the folded view: letters are read as that view reads them."""
    return FOLDED.odd.sub(lambda odd: FOLDED.read(odd[0]), pattern)


def _at_once(order: str) -> Callable[[str], tuple[int, int] | None]:
    @functools.cache
    def compiled() -> regex.Pattern[str]:
        return regex.compile(order)

    def narrow(text: str) -> tuple[int, int] | None:
        found = compiled().match(text)
        return found.span() if found is not None and is_said(found[0]) else None

    return narrow


class _Words:
    """The words of a language as patterns."""

    def __init__(self, language: Language) -> None:
        self.language = language
        self.negation = _either(language.negation)
        self.disregard, self.earlier, self.every = map(
            _either, (language.disregard, language.earlier, language.every)
        )
        self.orders = _either(language.orders)
        self.orders_or_rules = _either(f"{language.orders}|{language.rules}")
        self.everything = f"|{_either(language.everything)}" if language.everything else ""
        self.disclose, self.hidden = _either(language.disclose), _either(language.hidden)
        self.you, self.unbound = _either(language.you), _either(language.unbound)

    @property
    def of_override(self) -> str:
        """What such an order begins with, where the object may come first."""
        words = self.language
        return "|".join(
            filter(None, (words.disregard, words.earlier, words.every, words.everything))
        )

    @property
    def of_disclose(self) -> str:
        """What such an order begins with, where the object may come first."""
        return f"{self.language.disclose}|{self.language.hidden}"


class _Spaced(_Words):
    """Orders of a language that writes spaces between words, and the words they begin with."""

    def override_order(self) -> tuple[str, str]:
        some = rf"(?:{_WORD}{_GAP}){{0,2}}"
        which = rf"{self.earlier}{_GAP}{some}{self.orders_or_rules}"
        which += rf"|{self.every}{_GAP}{some}{self.orders}{self.everything}"
        behind = rf"{self.orders_or_rules}{_GAP}{some}{self.earlier}"
        behind += rf"|{self.orders}{_GAP}{self.every}"
        kept = rf"(?!{_GAP}{self.negation}(?!\w))"
        affirmed = rf"{self.disregard}(?!\w){kept}"
        first = rf"{affirmed}{_GAP}{some}(?:{which}|{behind})(?!\w){kept}"
        if not self.language.object_first:
            return first, self.language.disregard
        last = rf"(?:{which}){_GAP}{some}(?<!{self.negation}{_NEAR}){affirmed}"
        return f"(?:{first}|{last})", self.of_override

    def disclose_order(self) -> tuple[str, str]:
        some = rf"(?:{_WORD}{_GAP}){{0,3}}"
        first = rf"{self.disclose}{_GAP}{some}{self.hidden}(?!\w)"
        if not self.language.object_first:
            return first, self.language.disclose
        last = rf"{self.hidden}{_GAP}{some}(?<!{self.negation}{_NEAR}){self.disclose}(?!\w)"
        return f"(?:{first}|{last})", self.of_disclose

    def unbound_order(self) -> tuple[str, str]:
        between = rf"(?:{_WORD}{_GAP}){{0,6}}"
        return rf"{self.you}{_GAP}{between}{self.unbound}(?!\w)", self.language.you


class _Unspaced(_Words):
    """Orders of a language whose words run on, and the words they begin with."""

    def override_order(self) -> tuple[str, str]:
        which = rf"(?:{self.earlier}{_RUN}{{0,6}}{self.orders_or_rules}"
        which += rf"|{self.every}{_RUN}{{0,4}}{self.orders}{self.everything})"
        behind = rf"{self.orders_or_rules}{_RUN}{{0,4}}{self.earlier}"
        affirmed = rf"{self.disregard}(?!{self.negation})"
        first = rf"{affirmed}{_RUN}{{0,6}}(?:{which}|{behind})"
        last = rf"{which}{_RUN}{{0,8}}(?<!{self.negation}){affirmed}"
        return f"(?:{first}|{last})", self.of_override

    def disclose_order(self) -> tuple[str, str]:
        first = rf"{self.disclose}{_RUN}{{0,10}}{self.hidden}"
        last = rf"{self.hidden}{_RUN}{{0,8}}(?<!{self.negation}){self.disclose}"
        return f"(?:{first}|{last})", self.of_disclose

    def unbound_order(self) -> tuple[str, str]:
        return rf"{self.you}{_RUN}{{0,14}}{self.unbound}", self.language.you


def _either(words: str) -> str:
    return f"(?:{words.replace(' ', f'(?:{_GAP})')})"


RULES: Final = tuple(rule for language in LANGUAGES for rule in _rules(language))
