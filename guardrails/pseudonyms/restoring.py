"""Puts values back where placeholders stand, also where a model has mangled them.

Tolerated: another case, other brackets or none, spaces, hyphens or nothing for the underscore, an
escaped underscore, a plural, look-alike characters in the code, a code whose end is missing, and
in brackets a missing code if the conversation has one value of that category. Whatever does not
lead to exactly one value stays as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import regex

from guardrails.rules import LiveQuestion

from .placeholders import CODE_CHARS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Restorer"]

_LOOK_ALIKES: Final = str.maketrans("OIL", "011")
_MIN_CODE_CHARS: Final = 4
_GAP: Final = r"[ _\\:#-]{0,3}"


class Restorer:
    """Restores one text that arrives in pieces. Without values it passes everything at once."""

    def __init__(self, values: Mapping[str, str]) -> None:
        """Know these values by placeholder.

        Args:
            values: placeholder, as `Placeholders` makes them, to original value.
        """
        self.restored = 0
        self._values: dict[str, dict[str, str]] = {}
        for placeholder, value in values.items():
            category, _, code = placeholder.strip("[]").rpartition("_")
            self._values.setdefault(category, {})[code] = value
        self._by_compact = {_compact(category): category for category in self._values}
        pattern = _pattern(list(self._values))
        self._pattern = regex.compile(pattern or "(?!)")
        self._live = LiveQuestion([_unnamed(pattern)]) if pattern else None
        self._text = ""
        self._begin = 0

    def push(self, piece: str) -> str:
        """Take the next piece of scanned text; return what can be passed on."""
        if self._live is None:
            return piece
        self._text += piece
        return self._restore(self._live.start)

    def flush(self) -> str:
        """Nothing that follows belongs to what came before; return what was held."""
        rest = self._restore(lambda text, _begin: len(text))
        self._text, self._begin = "", 0
        return rest

    def _restore(self, live_start: Callable[[str, int], int]) -> str:
        """Pass on what is final; a placeholder that leads nowhere is passed on as it is."""
        text, done, out = self._text, self._begin, []
        position, live = done, live_start(text, done)
        while (found := self._pattern.search(text, position)) and found.start() < live:
            position = found.end()
            live = live_start(text, position) if position > live else live
            value = self._resolve(found)
            if value is not None:
                out += [text[done : found.start()], _kept(found, "open"), value]
                out.append(_kept(found, "close"))
                done = position
                self.restored += 1
        out.append(text[done:live])
        kept = max(0, live - 1)
        self._text, self._begin = text[kept:], live - kept
        return "".join(out)

    def _resolve(self, found: regex.Match[str]) -> str | None:
        category = self._by_compact[_compact(found["category"] or found["bare_category"])]
        values = self._values[category]
        code = (found["code"] or found["bare_code"] or "").upper().translate(_LOOK_ALIKES)
        if not code:
            return next(iter(values.values())) if len(values) == 1 else None
        near = [value for known, value in values.items() if known.startswith(code)]
        return near[0] if len(near) == 1 else None


def _kept(found: regex.Match[str], side: str) -> str:
    """A bracket without its partner belongs to the sentence, not to the placeholder."""
    other = "close" if side == "open" else "open"
    return found[side] if found[side] and not found[other] else ""


def _compact(category: str) -> str:
    return "".join(char for char in category.upper() if char.isalnum())


def _pattern(categories: list[str]) -> str:
    if not categories:
        return ""
    names = "|".join(
        r"[ _\\-]{0,2}".join(regex.escape(part) for part in category.split("_"))
        for category in sorted(categories, key=len, reverse=True)
    )
    code = rf"[0-9A-Za-z]{{{_MIN_CODE_CHARS},{CODE_CHARS}}}"
    return (
        rf"(?i:(?P<open>[\[<({{]{{1,2}} ?)(?P<category>{names})S?(?:{_GAP}(?P<code>{code})?)"
        rf"(?P<close> ?[\]>)}}]{{1,2}})"
        rf"|(?<![0-9A-Za-z])(?P<bare_category>{names})S?{_GAP}(?P<bare_code>{code})(?![0-9A-Za-z]))"
    )


def _unnamed(pattern: str) -> str:
    return regex.sub(r"\(\?P<\w+>", "(?:", pattern)
