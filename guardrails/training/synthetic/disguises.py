"""Ways to hide a known attack from a detector that reads letters."""

from __future__ import annotations

import base64
import random
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["DISGUISES"]

_CYRILLIC: Final = str.maketrans("aceopxyABCEHKMOPTX", "асеорхуАВСЕНКМОРТХ")  # noqa: RUF001
_LEET: Final = str.maketrans("aeiost", "431057")


def _zero_width(text: str) -> str:
    return "".join(char + ("\u200b" if char.isalpha() else "") for char in text)


def _homoglyphs(text: str) -> str:
    return text.translate(_CYRILLIC)


def _full_width(text: str) -> str:
    return "".join(chr(ord(char) + 0xFEE0) if "!" <= char <= "~" else char for char in text)


def _spaced(text: str) -> str:
    return "  ".join(" ".join(word) for word in text.split())


def _leet(text: str) -> str:
    return text.translate(_LEET)


def _entities(text: str) -> str:
    return "".join(f"&#{ord(char)};" if char.isalpha() else char for char in text)


def _percent(text: str) -> str:
    return "".join(f"%{ord(c):02x}" if c.isascii() else quote(c) for c in text)


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _hexadecimal(text: str) -> str:
    return text.encode().hex(" ")


def _tags(text: str) -> str:
    return "".join(chr(0xE0000 + ord(char)) if 32 <= ord(char) < 127 else char for char in text)


def _capitals(text: str) -> str:
    rng = random.Random(len(text))
    return "".join(char.upper() if rng.random() < 0.5 else char.lower() for char in text)


def _typos(text: str) -> str:
    """Two inner letters swapped in every third longer word."""
    words = text.split(" ")
    for at in range(0, len(words), 3):
        word = words[at]
        if len(word) > 4:
            words[at] = word[0] + word[2] + word[1] + word[3:]
    return " ".join(words)


DISGUISES: Final[Mapping[str, Callable[[str], str]]] = {
    "zero-width": _zero_width,
    "look-alike letters": _homoglyphs,
    "full width": _full_width,
    "spaced letters": _spaced,
    "digits for letters": _leet,
    "HTML entities": _entities,
    "percent": _percent,
    "base64": _base64,
    "hexadecimal": _hexadecimal,
    "tag characters": _tags,
    "mixed capitals": _capitals,
    "typing errors": _typos,
}
