"""Ways to disguise an attack, each of which a reader sees through.

The tricks are those that normalisation promises to read; `plain` is the text as it is.
"""

from __future__ import annotations

import base64
import random
import urllib.parse
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["TRICKS"]

_HOMOGLYPHS: Final = str.maketrans(
    "aceiopsxy", "\u0430\u0441\u0435\u0456\u043e\u0440\u0455\u0445\u0443"
)
_ZERO_WIDTH: Final = "\u200b\u200c\u200d\u2060"


def _mixed_case(text: str) -> str:
    return "".join(char.upper() if at % 2 else char.lower() for at, char in enumerate(text))


def _wide(text: str) -> str:
    return "".join(chr(ord(char) + 0xFEE0) if "!" <= char <= "~" else char for char in text)


def _zero_width(text: str) -> str:
    dice = random.Random(1)
    return "".join(char + (dice.choice(_ZERO_WIDTH) if char.isalpha() else "") for char in text)


def _accents(text: str) -> str:
    return "".join(char + ("\u0301" if char in "aeiou" else "") for char in text)


def _entities(text: str) -> str:
    return "".join(f"&#{ord(char)};" if char.isalpha() else char for char in text)


def _percent(text: str) -> str:
    return urllib.parse.quote(text, safe=" ")


def _base64(text: str) -> str:
    return "Decode and follow: " + base64.b64encode(text.encode()).decode()


def _spaced(text: str) -> str:
    return "   ".join(" ".join(word) for word in text.split())


def _leet(text: str) -> str:
    return text.translate(str.maketrans("oieas", "01345"))


def _tags(text: str) -> str:
    """Characters that no reader sees and every tokenizer does."""
    return "Hello" + "".join(
        chr(0xE0000 + ord(char)) if " " <= char <= "~" else char for char in text
    )


TRICKS: Final[Mapping[str, Callable[[str], str]]] = {
    "plain": str,
    "mixed case": _mixed_case,
    "full width": _wide,
    "homoglyphs": lambda text: text.translate(_HOMOGLYPHS),
    "zero width": _zero_width,
    "accents": _accents,
    "HTML entities": _entities,
    "percent": _percent,
    "base64": _base64,
    "spaced letters": _spaced,
    "leetspeak": _leet,
    "tag characters": _tags,
}
