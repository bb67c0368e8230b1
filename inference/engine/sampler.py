"""The next token of each sequence, each by its own parameters.

The same code draws from numpy's arrays and from a GPU's tensors, by the Array API standard.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from array_api_compat import array_namespace, device

from inference.engine import penalties
from inference.engine.randomness import uniform
from inference.engine.request import TokenLogprob

if TYPE_CHECKING:
    from collections.abc import Sequence as Many

    from inference.engine.request import Sampling
    from inference.engine.runner import Array
    from inference.engine.sequence import Sequence

__all__ = ["Choice", "choose"]

_STRETCH = 64  # numbers whose maximum stands for them


@dataclass(frozen=True, slots=True)
class Choice:
    """The chosen token, and its probability if the request wants it."""

    token: int
    logprob: TokenLogprob | None = None


def choose(logits: Array, sequences: Many[Sequence], end_ids: frozenset[int]) -> list[Choice]:
    """Choose one token a line.

    Args:
        logits: float32, one line a sequence; overwritten.
        sequences: whose lines they are.
        end_ids: tokens that end an answer of this model.
    """
    raw = {
        line: _log_softmax(logits[line])
        for line, sequence in enumerate(sequences)
        if sequence.request.sampling.logprobs is not None
    }
    for line, sequence in enumerate(sequences):
        penalties.apply(logits[line], sequence, end_ids)
    tokens: list[int] = logits.argmax(-1).tolist()
    sampled = [i for i, s in enumerate(sequences) if s.request.sampling.temperature > 0]
    if sampled:
        drawn = _draw(logits[sampled], [sequences[line] for line in sampled])
        for line, token in zip(sampled, drawn, strict=True):
            tokens[line] = token
    return [
        Choice(token, _report(raw[line], token, sequences[line]) if line in raw else None)
        for line, token in enumerate(tokens)
    ]


def _draw(logits: Array, sequences: Many[Sequence]) -> list[int]:
    xp = array_namespace(logits)
    settings = [sequence.request.sampling for sequence in sequences]
    logits -= xp.max(logits, axis=-1, keepdims=True)
    logits /= _column([s.temperature for s in settings], logits)
    weights = xp.exp(logits)  # the likeliest token of each line has 1
    for line, sampling in enumerate(settings):
        least = _least_weight(weights[line], sampling)
        if least > 0:
            weights[line] = xp.where(weights[line] < least, 0, weights[line])
    # In float64 a sum over a vocabulary is as good as exact.
    sums = xp.cumulative_sum(weights, axis=-1, dtype=xp.float64)
    points = [uniform(s.seed, q.num_generated) for s, q in zip(settings, sequences, strict=True)]
    passed = sums <= _column(points, sums) * sums[:, -1:]
    # Rounding can pass the end; the last token with any weight is then the one.
    last = xp.sum(sums < sums[:, -1:], axis=-1)
    chosen: list[int] = xp.minimum(xp.sum(passed, axis=-1), last).tolist()
    return chosen


def _least_weight(weights: Array, sampling: Sampling) -> float:
    """The weight of the least likely token that min-p, top-k and top-p all leave.

    Tokens of equal weight stay or go together.
    """
    least = sampling.min_p
    if not sampling.top_k and sampling.top_p == 1:
        return least
    xp = array_namespace(weights)
    weights = xp.where(weights < least, 0, weights)
    if sampling.top_k:
        head = _largest(weights, sampling.top_k)
        total = xp.sum(head, dtype=xp.float64)
    else:
        total = xp.sum(weights, dtype=xp.float64)
        # All that weigh less do not add up to what top-p cuts off, so none of them stays, and
        # only the others have to be sorted.
        floor = (1 - sampling.top_p) * float(total) / len(weights)
        head = xp.sort(weights[weights >= floor], descending=True)
    before = xp.cumulative_sum(head, dtype=xp.float64) - head
    kept = int(xp.sum(before < sampling.top_p * total))
    return max(least, float(head[max(0, kept - 1)]))


def _largest(values: Array, count: int) -> Array:
    """The largest values, in descending order, as many as are asked for or there are.

    As many stretches of the values have maxima of at least some height, so at least as many values
    have it too, and only those have to be sorted.
    """
    xp = array_namespace(values)
    whole = values[: len(values) // _STRETCH * _STRETCH]
    maxima = xp.max(xp.reshape(whole, (-1, _STRETCH)), axis=-1) if len(whole) else whole
    if count <= len(maxima):
        values = values[values >= xp.sort(maxima, descending=True)[count - 1]]
    return xp.sort(values, descending=True)[:count]


def _log_softmax(logits: Array) -> Array:
    xp = array_namespace(logits)
    shifted = logits - xp.max(logits)
    return shifted - xp.log(xp.sum(xp.exp(shifted)))


def _column(values: list[float], like: Array) -> Array:
    xp = array_namespace(like)
    return xp.asarray(values, dtype=like.dtype, device=device(like))[:, None]


def _report(raw: Array, token: int, sequence: Sequence) -> TokenLogprob:
    """How likely a token was, and the likeliest; of equally likely ones the lower number first."""
    xp = array_namespace(raw)
    wanted = sequence.request.sampling.logprobs or 0
    alternatives: list[tuple[int, float]] = []
    if wanted:
        (likely,) = xp.nonzero(raw >= _largest(raw, wanted)[-1])
        order = likely[xp.argsort(raw[likely], descending=True, stable=True)][:wanted]
        alternatives = list(zip(order.tolist(), raw[order].tolist(), strict=True))
    return TokenLogprob(token_id=token, logprob=float(raw[token]), alternatives=tuple(alternatives))
