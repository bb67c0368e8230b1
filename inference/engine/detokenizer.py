"""Text from tokens, piece by piece, never cutting a character."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from tokenizers.decoders import DecodeStream

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["Detokenizer", "Vocabulary"]

# The decoder joins the first token differently from the others (a leading blank goes); a few
# tokens of the prompt put it in the middle of a text.
_CONTEXT_TOKENS = 6
# No character takes as many tokens: what is still none after these will never be one.
_LONGEST_CHARACTER = 8


class Vocabulary(Protocol):
    """What the engine knows of a tokenizer."""

    @property
    def backend(self) -> Tokenizer:
        """The tokenizer that decodes."""

    @property
    def end_ids(self) -> frozenset[int]:
        """The tokens by which the model itself ends an answer."""


class Detokenizer:
    """Decodes one answer. Special tokens leave no text."""

    def __init__(self, tokenizer: Tokenizer, prompt: tuple[int, ...]) -> None:
        """Begin after this prompt."""
        self._tokenizer = tokenizer
        self._context = list(prompt[-_CONTEXT_TOKENS:])
        self._stream = DecodeStream(self._context, skip_special_tokens=True)
        self._pending: list[int] = []

    def push(self, token: int) -> str:
        """Take a token; return the characters that it completes."""
        self._pending.append(token)
        try:
            text = self._stream.step(self._tokenizer, token)
        except Exception:  # noqa: BLE001 - tokenizers raises bare Exception for an invalid prefix
            return self._restart()
        if text is None:
            return "" if len(self._pending) < _LONGEST_CHARACTER else self._restart()
        self._pending.clear()
        return text

    def flush(self) -> str:
        """The answer is complete: decode what is left; half a character becomes U+FFFD."""
        pending, self._pending = self._pending, []
        return self._tokenizer.decode(pending, skip_special_tokens=True) if pending else ""

    def _restart(self) -> str:
        """Some sequences that a model can produce are no text; begin anew behind them."""
        self._stream = DecodeStream([], skip_special_tokens=True)
        return self.flush()
