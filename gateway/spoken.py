"""What a model said token by token, and how sure it was, for callers who ask.

A token's number tells its text, so log-probabilities are text as well, and only what the caller
was shown may be told: the tokens of an answer that was released as it is, up to the first that
does not stand in it. Alternatives are never told; they are words that nobody checked.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["Spoken", "TokenLogprob"]

# Stands in a token's text for bytes that are only a part of a character.
_PARTIAL = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """One token and its natural log-probability."""

    token_id: int
    token: str
    logprob: float


class Spoken:
    """The text of an answer and its tokens, as far as it was made."""

    def __init__(self) -> None:
        """Nothing was said yet."""
        self._pieces: list[str] = []
        self._tokens: list[TokenLogprob] = []

    def add(self, text: str, tokens: Iterable[TokenLogprob]) -> None:
        """More was said."""
        self._pieces.append(text)
        self._tokens += tokens

    def told(self, released_sha256: str) -> tuple[TokenLogprob, ...]:
        """The tokens of the released text; none if that is not what was said."""
        if not self._tokens:
            return ()
        text = "".join(self._pieces)
        if hashlib.sha256(text.encode()).hexdigest() != released_sha256:
            return ()
        return tuple(_standing_in(text, self._tokens))


def _standing_in(text: str, tokens: Iterable[TokenLogprob]) -> Iterator[TokenLogprob]:
    """The tokens up to the first that the text does not go on with.

    Several tokens that are parts of characters together make as many characters at the most.
    """
    at = partial = 0
    for token in tokens:
        if _PARTIAL in token.token:
            partial += len(token.token)
            if at + 1 > len(text):
                return
            yield replace(token, token=_PARTIAL)
            continue
        found = text.find(token.token, at, at + partial + len(token.token))
        if found < 0 or not token.token:
            return
        at, partial = found + len(token.token), 0
        yield token
