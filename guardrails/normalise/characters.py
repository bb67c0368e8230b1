"""What single characters read as, whatever stands around them."""

from __future__ import annotations

import functools
import unicodedata
from typing import Final

__all__ = ["folded", "plain"]

# Letters of other scripts that are drawn like Latin ones, by what they are drawn like.
_LOOK_ALIKES: Final = {
    like: latin
    for latin, likes in {
        "a": "\u0430\u03b1\u0251",
        "b": "\u0432\u042c\u0184\u0412\u0392",
        "c": "\u0441\u03f2\u1d04",
        "d": "\u0501\u0257",
        "e": "\u0435\u0451\u03b5\u0454\u04bd\u212e",
        "f": "\u0192",
        "g": "\u0261\u0581",
        "h": "\u04bb\u043d\u0570\u0397\u041d",
        "i": "\u0456\u03b9\u0131\u0457\u04cf\u0399",
        "j": "\u0458\u03f3",
        "k": "\u043a\u03ba\u049b",
        "l": "\u04c0\u217c\u01c0",
        "m": "\u043c\u039c\u041c",
        "n": "\u0578\u03b7\u043f\u039d",
        "o": "\u043e\u03bf\u0585\u03c3",
        "p": "\u0440\u03c1",
        "q": "\u051b\u0563",
        "r": "\u0433\u1d26",
        "s": "\u0455\ua731",
        "t": "\u0442\u03c4",
        "u": "\u057d\u03c5\u1d1c",
        "v": "\u0475\u03bd\u1d20",
        "w": "\u051d\u0461\u1d21",
        "x": "\u0445\u03c7",
        "y": "\u0443\u04af\u03b3",
        "z": "\u1d22",
    }.items()
    for like in likes
}

_PUNCTUATION: Final = {
    **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe63\uff0d", "-"),
    **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u02bc", "'"),
    **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033", '"'),
    **dict.fromkeys("\u2028\u2029\u0085", "\n"),
    **dict.fromkeys("\u3002\uff61", "."),
}

# Plane 14 repeats ASCII in characters that no reader sees and every tokenizer does.
_TAGS: Final = range(0xE0020, 0xE007F)
# Categories that have no width of their own: formatting, and marks on another character.
_INVISIBLE: Final = frozenset({"Cf", "Mn", "Me"})
_ALSO_INVISIBLE: Final = frozenset("\u115f\u1160\u3164\uffa0\u2800")


@functools.lru_cache(maxsize=4096)
def plain(char: str) -> str:
    """The characters to read instead of this one; none if it is invisible."""
    if ord(char) in _TAGS:
        return chr(ord(char) - 0xE0000)
    if unicodedata.category(char) in _INVISIBLE or char in _ALSO_INVISIBLE:
        return ""
    if char in _PUNCTUATION:
        return _PUNCTUATION[char]
    if char.isspace():
        return " "
    digit = unicodedata.decimal(char, None)
    if digit is not None:
        return str(digit)
    return unicodedata.normalize("NFKC", char)


@functools.lru_cache(maxsize=4096)
def folded(char: str) -> str:
    """The same without case, accents and other scripts' look-alikes."""
    if char in _LOOK_ALIKES:
        return _LOOK_ALIKES[char]
    decomposed = unicodedata.normalize("NFD", plain(char).casefold())
    return "".join(_LOOK_ALIKES.get(part, part) for part in decomposed if _visible(part))


def _visible(char: str) -> bool:
    return unicodedata.category(char) not in _INVISIBLE
