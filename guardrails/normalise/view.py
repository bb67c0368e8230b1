"""How stretches of text read: each view is a table of patterns and a reading of characters."""

from __future__ import annotations

import base64
import binascii
import html
import urllib.parse
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import regex

from guardrails.rules import LiveQuestion, Prefilter, Sign, Sought, signs

from . import characters

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["FOLDED", "PLAIN", "View"]

# Scripts whose letters read as themselves in both views: no need to look at each.
_SELF_EVIDENT: Final = r"\x00-\x7f\u3041-\u3096\u30a1-\u30fa\u4e00-\u9fff\uac00-\ud7a3"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretches:
    """What reads as something else as a whole, and the reading by name of the group.

    Each begins with one of the `marks`, unless they are not known.
    """

    sought: tuple[Sought, ...]
    pattern: regex.Pattern[str]
    live: LiveQuestion
    prefilter: Prefilter
    readings: Mapping[str, Callable[[str], str | None]]
    marks: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class View:
    """A way to read a text: stretches first, then single characters, the odd ones one by one."""

    name: str
    stretches: Stretches
    odd: regex.Pattern[str]
    read: Callable[[str], str]
    lowers: bool

    def signs(self, *, streamed: bool) -> Iterator[Sign]:
        """What tells a `Glance` that ASCII may read as something else."""
        return signs(self.stretches.sought, streamed=streamed, any_case=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    """One kind of stretch.

    `hint` is a short pattern that each begins with, `mark` the character where it is always one.
    """

    pattern: str
    read: Callable[[str], str | None]
    hint: str | None = None
    mark: str | None = None


def _stretches(kinds: Mapping[str, _Kind]) -> Stretches:
    patterns = [kind.pattern for kind in kinds.values()]
    marks = [kind.mark for kind in kinds.values() if kind.mark is not None]
    named = "|".join(f"(?P<{name}>{kind.pattern})" for name, kind in kinds.items())
    sought = tuple(Sought(pattern=kind.pattern, hint=kind.hint) for kind in kinds.values())
    return Stretches(
        sought=sought,
        pattern=regex.compile(named),
        live=LiveQuestion(patterns),
        prefilter=Prefilter(sought),
        readings={name: kind.read for name, kind in kinds.items()},
        marks="".join(marks) if len(marks) == len(kinds) else None,
    )


def _entity(text: str) -> str | None:
    read = html.unescape(text)
    return None if read == text else read


def _percent(text: str) -> str | None:
    try:
        return urllib.parse.unquote(text, errors="strict")
    except UnicodeDecodeError:
        return None


def _base64(text: str) -> str | None:
    """The text inside, if there is text inside: words decode to bytes that are no text."""
    plain = text.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        read = base64.b64decode(plain + "=" * (-len(plain) % 4)).decode()
    except (binascii.Error, ValueError):
        return None
    legible = sum(char.isalnum() or char.isspace() for char in read)
    return f" {read.lower()} " if legible >= 0.8 * len(read) else None


def _spaced(text: str) -> str:
    return text[::2].lower()


_LEET: Final = str.maketrans("013457@$", "oieastas")


def _leet(text: str) -> str:
    return text.translate(_LEET)


_VALUES: Final = {
    "entity": _Kind(
        pattern=r"&(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]{1,30});",
        read=_entity,
        mark="&",
    ),
    "percent": _Kind(
        pattern=r"(?:%[0-9A-Fa-f]{2}){1,1024}", read=_percent, hint="%[0-9A-Fa-f]{2}", mark="%"
    ),
}
_PHRASES: Final = {
    # Not "a.m." and not initials: at least three letters, all with the same kind of gap.
    "spaced": _Kind(
        pattern=(r"(?<!\w)(?:(?:[A-Za-z] ){2,200}|(?:[A-Za-z][.*_-]){2,200})[A-Za-z](?!\w)"),
        read=_spaced,
        hint=r"(?<!\w)(?:[A-Za-z] [A-Za-z] [A-Za-z]|[A-Za-z][.*_-][A-Za-z][.*_-][A-Za-z])(?!\w\w)",
    ),
    "base64": _Kind(pattern=r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{20,4096}={0,2}", read=_base64),
    "leet": _Kind(pattern=r"(?<=[A-Za-z])[013457@$]{1,3}(?=[A-Za-z])", read=_leet),
    "leet_initial": _Kind(pattern=r"(?<!\w)[013457@$](?=[A-Za-z]{2})", read=_leet),
}

_ODD: Final = regex.compile(f"[^{_SELF_EVIDENT}]")

PLAIN: Final = View(
    name="plain",
    stretches=_stretches(_VALUES),
    odd=_ODD,
    read=characters.plain,
    lowers=False,
)
FOLDED: Final = View(
    name="folded",
    stretches=_stretches(_VALUES | _PHRASES),
    odd=_ODD,
    read=characters.folded,
    lowers=True,
)
