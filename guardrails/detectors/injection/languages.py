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
# So many letters in a row are rare enough.
_TELLING: Final = 4
_LETTERS_UNSPACED: Final = 3


def _rules(language: Language) -> Iterator[Rule]:
    orders = _Unspaced(language) if language.unspaced else _Spaced(language)
    apart = "" if language.unspaced else r"(?<!\w)"
    negated = _folded(rf"(?<!{_either(language.negation)}{_NEAR})")
    for name, (order, first_words) in (
        ("override", orders.override()),
        ("disclose", orders.disclose()),
        ("unbound", orders.unbound()),
    ):
        beginnings = _beginnings(first_words, unspaced=language.unspaced)
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


def _beginnings(words: str, *, unspaced: bool) -> list[_Beginning]:
    """The first letters of the words; whole words where they are short.

    A short word in letters that English has too is left out: to look at every place where it
    stands would make all texts dear. Several short words count with one space between them.
    """
    begun, whole = openings(_folded(words), _LETTERS_UNSPACED if unspaced else _LETTERS)
    found = []
    for text in sorted(begun | whole):
        words_in, gap = text.split(" "), _GAP
        telling = max(words_in, key=len)
        if telling.isascii() and len(telling) <= _TELLING and len(words_in) > 1:
            telling, gap = text, " "
        if telling.isascii() and len(telling) < _TELLING:
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


class _Spaced:
    """Orders of a language that writes spaces between words, and the words they begin with."""

    def __init__(self, language: Language) -> None:
        self._language = language
        self._not = _either(language.negation)

    def override(self) -> tuple[str, str]:
        words = self._language
        verb, earlier, every = map(_either, (words.disregard, words.earlier, words.every))
        orders = _either(words.orders)
        either = _either(f"{words.orders}|{words.rules}")
        some = rf"(?:{_WORD}{_GAP}){{0,2}}"
        which = rf"{earlier}{_GAP}{some}{either}|{every}{_GAP}{some}{orders}"
        if words.everything:
            which += f"|{_either(words.everything)}"
        behind = rf"{either}{_GAP}{some}{earlier}|{orders}{_GAP}{every}"
        affirmed = rf"{verb}(?!\w)(?!{_GAP}{self._not}(?!\w))"
        kept = rf"(?!{_GAP}{self._not}(?!\w))"
        first = rf"{affirmed}{_GAP}{some}(?:{which}|{behind})(?!\w){kept}"
        if not words.object_first:
            return first, words.disregard
        last = rf"(?:{which}){_GAP}{some}(?<!{self._not}{_NEAR}){affirmed}"
        return f"(?:{first}|{last})", _also(
            words.disregard, words.earlier, words.every, words.everything
        )

    def disclose(self) -> tuple[str, str]:
        words = self._language
        verb, hidden = _either(words.disclose), _either(words.hidden)
        some = rf"(?:{_WORD}{_GAP}){{0,3}}"
        first = rf"{verb}{_GAP}{some}{hidden}(?!\w)"
        if not words.object_first:
            return first, words.disclose
        last = rf"{hidden}{_GAP}{some}(?<!{self._not}{_NEAR}){verb}(?!\w)"
        return f"(?:{first}|{last})", f"{words.disclose}|{words.hidden}"

    def unbound(self) -> tuple[str, str]:
        you, unbound = _either(self._language.you), _either(self._language.unbound)
        between = rf"(?:{_WORD}{_GAP}){{0,6}}"
        return rf"{you}{_GAP}{between}{unbound}(?!\w)", self._language.you


class _Unspaced:
    """Orders of a language whose words run on, and the words they begin with."""

    def __init__(self, language: Language) -> None:
        self._language = language
        self._not = _either(language.negation)

    def override(self) -> tuple[str, str]:
        words = self._language
        verb, earlier, every = map(_either, (words.disregard, words.earlier, words.every))
        orders = _either(words.orders)
        either = _either(f"{words.orders}|{words.rules}")
        which = rf"(?:{earlier}{_RUN}{{0,6}}{either}|{every}{_RUN}{{0,4}}{orders}"
        which += f"|{_either(words.everything)})" if words.everything else ")"
        behind = rf"{either}{_RUN}{{0,4}}{earlier}"
        affirmed = rf"{verb}(?!{self._not})"
        first = rf"{affirmed}{_RUN}{{0,6}}(?:{which}|{behind})"
        last = rf"{which}{_RUN}{{0,8}}(?<!{self._not}){affirmed}"
        return f"(?:{first}|{last})", _also(
            words.disregard, words.earlier, words.every, words.everything
        )

    def disclose(self) -> tuple[str, str]:
        words = self._language
        verb, hidden = _either(words.disclose), _either(words.hidden)
        first = rf"{verb}{_RUN}{{0,10}}{hidden}"
        last = rf"{hidden}{_RUN}{{0,8}}(?<!{self._not}){verb}"
        return f"(?:{first}|{last})", f"{words.disclose}|{words.hidden}"

    def unbound(self) -> tuple[str, str]:
        you, unbound = _either(self._language.you), _either(self._language.unbound)
        return rf"{you}{_RUN}{{0,14}}{unbound}", self._language.you


def _also(*words: str) -> str:
    return "|".join(filter(None, words))


def _either(words: str) -> str:
    return f"(?:{words.replace(' ', f'(?:{_GAP})')})"


RULES: Final = tuple(rule for language in LANGUAGES for rule in _rules(language))
