"""The text as the classifier reads it: disguises taken off, so that training need not learn them.

Covered: compatibility forms, zero-width and tag characters, look-alike letters inside Latin words,
marks on nearly every vowel, spaced letters, digits for letters, HTML entities, percent, base64,
hexadecimal and binary runs.
Not covered: ciphers, words split over messages, a text written backwards, invented alphabets.
"""

from __future__ import annotations

import base64
import binascii
import html
import re
import unicodedata
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["readable"]

# Each pair: a letter of another alphabet, and the Latin letter it is drawn like.
_PAIRS: Final = (
    "аa еe оo рp сc уy хx іi јj ѕs һh ԁd ԛq ԝw вb кk мm нh тt АA ВB ЕE ЅS ІI ЈJ КK МM НH ОO РP СC "  # noqa: RUF001
    "ТT УY ХX ԌG αa βb εe ηn ιi κk νv οo ρp τt υu χx γy ΑA ΒB ΕE ΖZ ΗH ΙI ΚK ΜM ΝN ΟO ΡP ΤT ΥY ΧX "  # noqa: RUF001
    "ɑa ɡg ɩi ıi ʟl ɪi ɴn ʀr ᴀa ᴄc ᴅd ᴇe ᴊj ᴋk ᴍm ᴏo ᴘp ᴛt ᴜu ᴠv ᴡw ᴢz ʏy ʙb ɢg ʜh ꜱs ꜰf"  # noqa: RUF001
)
_LOOKALIKES: Final = {ord(pair[0]): pair[1] for pair in _PAIRS.split()}
_LEET: Final = str.maketrans("013457@$!8", "oieastasib")

# Vietnamese marks two of three vowels, and no language much more.
_MARKED_SHARE: Final = 0.8
_FEWEST_MARKED: Final = 8
_VOWEL: Final = re.compile(r"[aeiouAEIOU]")
_MARKED_VOWEL: Final = re.compile(r"[aeiouAEIOU](?=[\u0300-\u036f])")
_MARKS: Final = re.compile(r"(?<=[A-Za-z])[\u0300-\u036f]+")

_WORD: Final = re.compile(r"\w+")
_SPACED: Final = re.compile(r"(?<!\w)\w(?:([ \-_.*·/])\w)(?:\1\w){2,}(?!\w)")
_SPACED_SHORT: Final = re.compile(r"(?<!\w)\w(?:([ \-_.*·/])\w)(?:\1\w)*(?!\w)")
_LEET_WORD: Final = re.compile(
    r"(?<![\w@$])(?=[\w@$!]*[a-zA-Z])(?=[\w@$!]*[013457@$!8])[\w@$!]{3,16}"
)
_PERCENT: Final = re.compile(r"(?:%[0-9A-Fa-f]{2}[\w.\-]*){2,}")
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_\-]{20,}={0,2}")
_HEX: Final = re.compile(r"(?:(?:\\x|0x|\b)?[0-9a-fA-F]{2}[ ,:]?){12,}")
_BINARY: Final = re.compile(r"(?:[01]{8}[ ,]?){4,}")


def readable(text: str) -> str:
    """The same text with known disguises taken off; ordinary text comes back as it was."""
    plain = text if text.isascii() else _letters(_unmarked(_visible(text)))
    if "&" in plain:
        plain = html.unescape(plain)
    if "%" in plain:
        plain = _PERCENT.sub(_from_percent, plain)
    plain = _BINARY.sub(_decoded(_from_binary), plain)
    plain = _HEX.sub(_decoded(_from_hex), plain)
    plain = _BASE64.sub(_decoded(_from_base64), plain)
    if _SPACED.search(plain):  # a text with one long run of single letters has short ones too
        plain = _SPACED_SHORT.sub(lambda run: run[0].replace(run[1], ""), plain)
    return _without_leet(plain)


def _visible(text: str) -> str:
    """Compatibility forms folded, format characters dropped, tag characters spelt out."""
    folded = unicodedata.normalize("NFKC", text)
    return "".join(_shown(char) for char in folded)


def _shown(char: str) -> str:
    code = ord(char)
    if 0xE0020 <= code <= 0xE007E:  # tag characters: ASCII that no one can see
        return chr(code - 0xE0000)
    if 0x1F1E6 <= code <= 0x1F1FF:  # regional indicators: letters drawn as squares
        return chr(code - 0x1F1E6 + ord("a"))
    if 0xFE00 <= code <= 0xFE0F or code == 0x034F:
        return ""
    return "" if unicodedata.category(char) == "Cf" else char


def _unmarked(text: str) -> str:
    """Latin letters without accents, where nearly every vowel has one."""
    apart = unicodedata.normalize("NFD", text)
    marked = len(_MARKED_VOWEL.findall(apart))
    if marked < max(_FEWEST_MARKED, _MARKED_SHARE * len(_VOWEL.findall(apart))):
        return text
    return unicodedata.normalize("NFC", _MARKS.sub("", apart))


def _letters(text: str) -> str:
    """Look-alikes made Latin, in words that also have Latin letters or only look-alikes."""
    return _WORD.sub(lambda word: _latin(word[0]), text)


def _latin(word: str) -> str:
    if word.isascii():
        return word
    mapped = word.translate(_LOOKALIKES)
    mixed = any("a" <= char.lower() <= "z" for char in word)
    return mapped if mixed else word


def _without_leet(text: str) -> str:
    """Digits made letters, if enough words look as if letters had been replaced."""
    suspicious = [word for word in _LEET_WORD.findall(text) if _looks_leet(word)]
    if len(suspicious) < 2 or len(suspicious) * 5 < len(_WORD.findall(text)):
        return text
    return _LEET_WORD.sub(lambda word: word[0].translate(_LEET), text)


def _looks_leet(word: str) -> bool:
    """A digit between letters, and no more digits than letters: not a version, date or code."""
    core = word.rstrip("!")
    digits = sum(char in "013457@$!8" for char in core)
    letters = sum(char.isalpha() for char in core)
    inside = re.search(
        r"[A-Za-z][013457@$!8]+[A-Za-z]|^[013457@$!8][a-z]{2}|[a-z]{2}[013457@$!8]$", core
    )
    return inside is not None and 0 < digits <= letters + 1


def _decoded(decode: Callable[[str], bytes]) -> Callable[[re.Match[str]], str]:
    def replace(run: re.Match[str]) -> str:
        try:
            text = decode(run[0]).decode("utf-8")
        except (ValueError, binascii.Error):
            return run[0]
        worded = sum(char.isalpha() or char == " " for char in text)
        if len(text) < 8 or not text.isprintable() or worded < 0.8 * len(text):
            return run[0]
        return text

    return replace


def _from_percent(run: re.Match[str]) -> str:
    return unquote(run[0], errors="replace")


def _from_binary(run: str) -> bytes:
    bits = re.sub(r"[ ,]", "", run)
    return bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits), 8))


def _from_hex(run: str) -> bytes:
    return bytes.fromhex(re.sub(r"\\x|0x|[ ,:]", "", run))


def _from_base64(run: str) -> bytes:
    body = run.rstrip("=").replace("-", "+").replace("_", "/")
    return base64.b64decode(body + "=" * (-len(body) % 4), validate=True)
