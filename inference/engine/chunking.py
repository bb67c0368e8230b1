"""How many tokens of prompts go into a step that also decodes.

Such a step holds up every running answer by what its prompts take, so that is what is bounded:
to a multiple of what the answers take by themselves. Both are measured, because they depend on
the machine, on how many answers run, and on how far into a long prompt the step reaches.

One prompt among running answers can wait for its first token; a burst of prompts cannot, because
the last of them waits behind all the others. So each sequence that waits for its first token
brings a share of its own, up to a few.
"""

from __future__ import annotations

__all__ = ["Chunking"]

# Before anything was measured.
_FIRST_TOKENS = 64
# Less than this costs nearly as much.
_LEAST_TOKENS = 16
# A burst holds up the answers beside it by no more than so many prompts' shares.
_MOST_SHARES = 4
# The weight of the newest time: a prompt of 2,000 tokens takes some forty steps, and its last
# tokens take twice as long as its first.
_NEWEST = 0.3


class Chunking:
    """Learns from each step of one engine."""

    def __init__(self, *, prompt_share: float) -> None:
        """Let a prompt take this many times as long as the answers beside it."""
        self._prompt_share = prompt_share
        self._decode_s: dict[int, float] = {}  # a step that only decodes, by the bits of its rows
        self._token_s: float | None = None

    def note(self, seconds: float, *, decoding: int, prompt_tokens: int) -> None:
        """A step took so long for so many answers and so many tokens of prompts."""
        if decoding and not prompt_tokens:
            bits = decoding.bit_length()
            self._decode_s[bits] = _mixed(self._decode_s.get(bits), seconds)
        elif prompt_tokens:
            own_s = max(0.0, seconds - (self._alone_s(decoding) or 0.0))
            self._token_s = _mixed(self._token_s, own_s / prompt_tokens)

    def tokens(self, *, decoding: int, beginning: int) -> int:
        """How many tokens of prompts fit beside so many answers, for so many first tokens."""
        alone_s = self._alone_s(decoding)
        if not alone_s or not self._token_s:
            return _FIRST_TOKENS
        share = self._prompt_share * min(beginning, _MOST_SHARES)
        return max(_LEAST_TOKENS, int(share * alone_s / self._token_s))

    def _alone_s(self, decoding: int) -> float | None:
        """What so many answers take by themselves; that of fewer where it is not known."""
        bits = decoding.bit_length()
        known = [seen for seen in self._decode_s if seen <= bits]
        return self._decode_s[max(known)] if known else None


def _mixed(mean_s: float | None, seconds: float) -> float:
    return seconds if mean_s is None else mean_s + _NEWEST * (seconds - mean_s)
