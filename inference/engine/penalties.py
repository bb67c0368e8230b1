"""What a request's parameters do to the logits before a token is chosen."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from array_api_compat import array_namespace, device

if TYPE_CHECKING:
    from collections.abc import Iterable

    from inference.engine.runner import Array
    from inference.engine.sequence import Sequence

__all__ = ["apply"]


def apply(logits: Array, sequence: Sequence, end_ids: frozenset[int]) -> None:
    """Adjust one line of logits in place: penalties, bias, no end too early.

    Where a constraint allows nothing but the end, it goes before the least length.
    """
    sampling = sequence.request.sampling
    if sampling.repetition_penalty != 1:
        _discourage_repetition(logits, sequence.tokens, sampling.repetition_penalty)
    if sampling.presence_penalty or sampling.frequency_penalty:
        counts = Counter(sequence.tokens[len(sequence.request.prompt) :])
        if counts:
            amounts = [
                sampling.presence_penalty + sampling.frequency_penalty * n for n in counts.values()
            ]
            _add(logits, counts, [-amount for amount in amounts])
    if sampling.logit_bias:
        tokens, biases = zip(*sampling.logit_bias, strict=True)
        _add(logits, tokens, biases)
    guide = sequence.request.guide
    if guide is not None:
        guide.apply(logits)
    elif sequence.num_generated < sampling.min_new_tokens:
        logits[list(end_ids | sampling.stop_token_ids)] = -float("inf")


def _discourage_repetition(logits: Array, tokens: list[int], penalty: float) -> None:
    xp = array_namespace(logits)
    seen = list(set(tokens))
    values = logits[seen]
    logits[seen] = xp.where(values > 0, values / penalty, values * penalty)


def _add(logits: Array, tokens: Iterable[int], amounts: Iterable[float]) -> None:
    """Add to the logits of some tokens, each of which is named once."""
    xp = array_namespace(logits)
    logits[list(tokens)] += xp.asarray(list(amounts), dtype=logits.dtype, device=device(logits))
