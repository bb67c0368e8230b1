"""Choosing tokens."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from inference.engine import sampler
from inference.engine.request import Sampling

LOGITS = np.log(np.array([0.5, 0.3, 0.15, 0.05], dtype=np.float32))


def sequence(*, prompt=(), generated=(), **sampling):
    request = SimpleNamespace(
        prompt=tuple(prompt), guide=None, sampling=Sampling(**{"max_new_tokens": 9, **sampling})
    )
    return SimpleNamespace(
        request=request, tokens=[*prompt, *generated], num_generated=len(generated)
    )


def choose(*sequences, logits=LOGITS, end_ids=frozenset()):
    """Choose from a processor's arrays, and see that a GPU's tensors give the same tokens."""
    lines = np.tile(logits, (len(sequences), 1))
    tensors = torch.from_numpy(lines.copy())
    choices = sampler.choose(lines, sequences, end_ids)
    by_torch = sampler.choose(tensors, sequences, end_ids)
    assert [choice.token for choice in choices] == [choice.token for choice in by_torch]
    return choices


def frequencies(count=2000, **sampling):
    many = [sequence(temperature=1.0, seed=seed, **sampling) for seed in range(count)]
    chosen = Counter(choice.token for choice in choose(*many))
    return {token: times / count for token, times in sorted(chosen.items())}


@pytest.mark.parametrize(
    ("sampling", "expected"),
    [
        pytest.param({}, {0: 0.5, 1: 0.3, 2: 0.15, 3: 0.05}, id="as-they-are"),
        pytest.param({"top_k": 2}, {0: 0.625, 1: 0.375}, id="top-k"),
        pytest.param({"top_k": 1}, {0: 1.0}, id="top-1"),
        pytest.param({"top_p": 0.5}, {0: 1.0}, id="top-p-exact"),
        pytest.param({"top_p": 0.79}, {0: 0.625, 1: 0.375}, id="top-p"),
        pytest.param({"top_p": 1e-6}, {0: 1.0}, id="top-p-keeps-one"),
        pytest.param({"top_k": 3, "top_p": 0.6}, {0: 0.625, 1: 0.375}, id="top-k-then-top-p"),
        pytest.param({"min_p": 0.4}, {0: 0.625, 1: 0.375}, id="min-p"),
        pytest.param({"min_p": 1.0}, {0: 1.0}, id="min-p-keeps-the-best"),
    ],
)
def test_tokens_come_as_often_as_they_should(sampling, expected):
    """Over many seeds the frequencies are the probabilities of what is kept."""
    assert expected == pytest.approx(frequencies(**sampling), abs=0.04)


def test_temperature_sharpens_and_flattens():
    """Half the temperature squares the odds."""
    many = [sequence(temperature=0.5, seed=seed) for seed in range(2000)]
    counts = Counter(choice.token for choice in choose(*many))
    assert 0.25 / 0.09 == pytest.approx(counts[0] / counts[1], rel=0.2)


def test_company_makes_no_difference():
    """The same seed and place give the same token alone and among others."""
    mine = [sequence(temperature=1.5, seed=7, generated=[0] * n) for n in range(30)]
    others = [sequence(temperature=0.7, seed=n, top_k=2) for n in range(30)]
    alone = [choose(one)[0].token for one in mine]
    together = [choice.token for choice in choose(*others, *mine)][30:]
    assert alone == together
    assert len(set(alone)) > 1


def test_equally_likely_tokens_stay_together():
    """Top-p of a flat distribution over a large vocabulary leaves all of it."""
    flat = np.zeros(5000, dtype=np.float32)
    many = [sequence(temperature=1.0, top_p=0.9, seed=seed) for seed in range(300)]
    chosen = {choice.token for choice in choose(*many, logits=flat)}
    assert len(chosen) > 250


@pytest.mark.parametrize("top_p", [0.05, 0.5, 0.9, 0.999])
def test_top_p_leaves_what_sorting_everything_leaves(top_p):
    """What is not sorted, because it weighs too little, would not have stayed."""
    logits = np.random.default_rng(3).normal(scale=3.0, size=4000).astype(np.float32)
    shares = np.exp(logits.astype(np.float64)) / np.exp(logits.astype(np.float64)).sum()
    order = np.argsort(-shares)
    nucleus = set(order[: 1 + np.searchsorted(shares[order].cumsum(), top_p)].tolist())
    weights = np.exp(logits - logits.max())
    least = sampler._least_weight(weights, Sampling(max_new_tokens=1, top_p=top_p))
    assert nucleus == set(np.flatnonzero(weights >= least).tolist())


@pytest.mark.parametrize("size", [3, 64, 1000, 5000])
@pytest.mark.parametrize("count", [1, 2, 50, 100_000])
@pytest.mark.parametrize("distinct", [2, 1_000_000])
def test_the_largest_values_are_those_of_a_whole_sort(size, count, distinct):
    """Whatever is left out of sorting would not have been among them."""
    values = np.random.default_rng(7).integers(distinct, size=size).astype(np.float32)
    assert np.sort(values)[::-1][:count].tolist() == sampler._largest(values, count).tolist()


@pytest.mark.parametrize(
    ("sampling", "history", "expected"),
    [
        pytest.param({}, {}, 0, id="greedy"),
        pytest.param({"repetition_penalty": 3.0}, {"prompt": [0]}, 1, id="repetition-prompt"),
        pytest.param({"presence_penalty": 2.0}, {"prompt": [0]}, 0, id="presence-not-prompt"),
        pytest.param({"presence_penalty": 2.0}, {"generated": [0]}, 1, id="presence"),
        pytest.param({"frequency_penalty": 0.4}, {"generated": [0]}, 0, id="frequency-once"),
        pytest.param({"frequency_penalty": 0.4}, {"generated": [0, 0]}, 1, id="frequency-twice"),
        pytest.param({"logit_bias": ((3, 100.0),)}, {}, 3, id="bias"),
        pytest.param({"min_new_tokens": 1}, {}, 1, id="too-early-to-end"),
        pytest.param({"min_new_tokens": 1}, {"generated": [2]}, 0, id="late-enough"),
    ],
)
def test_penalties_change_the_choice(sampling, history, expected):
    """Each penalty acts on the tokens that it is about."""
    (choice,) = choose(sequence(**sampling, **history), end_ids=frozenset({0}))
    assert expected == choice.token


def test_logprobs_are_those_before_penalties():
    """The report is of the model's own probabilities, best first."""
    (choice,) = choose(sequence(logprobs=2, logit_bias=((3, 100.0),)))
    assert 3 == choice.logprob.token_id
    assert -2.9957 == pytest.approx(choice.logprob.logprob, abs=1e-3)
    assert [0, 1] == [token for token, _ in choice.logprob.alternatives]
