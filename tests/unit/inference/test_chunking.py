"""How much of a prompt a step computes beside running answers."""

from __future__ import annotations

import pytest

from inference.engine.chunking import Chunking


@pytest.fixture
def chunking():
    """Sixteen answers take 60 ms, a prompt's token 1 ms."""
    learnt = Chunking(prompt_share=1.5)
    learnt.note(0.060, decoding=16, prompt_tokens=0)
    learnt.note(0.160, decoding=16, prompt_tokens=100)
    return learnt


@pytest.mark.parametrize(
    ("decoding", "beginning", "expected"),
    [
        pytest.param(16, 1, 90, id="one-prompt"),
        pytest.param(31, 1, 90, id="about-as-many-answers"),
        pytest.param(16, 2, 180, id="two-prompts"),
        pytest.param(16, 4, 360, id="four-prompts"),
        pytest.param(16, 48, 360, id="a-burst"),
        pytest.param(3, 1, 64, id="unknown"),
    ],
)
def test_prompts_take_their_share_of_a_steps_time(chunking, decoding, beginning, expected):
    """A multiple of what the answers take alone, for each of up to four that begin."""
    assert expected == chunking.tokens(decoding=decoding, beginning=beginning)


def test_the_end_of_a_long_prompt_gets_smaller_chunks(chunking):
    """When its tokens become dearer, fewer of them go into a step, within a few steps."""
    for _ in range(8):
        tokens = chunking.tokens(decoding=16, beginning=1)
        chunking.note(0.060 + 0.003 * tokens, decoding=16, prompt_tokens=tokens)
    assert 30 == pytest.approx(chunking.tokens(decoding=16, beginning=1), abs=3)


def test_a_prompt_always_goes_on(chunking):
    """However slow prompts are, a step computes some of them."""
    chunking.note(100.0, decoding=16, prompt_tokens=16)
    assert 16 == chunking.tokens(decoding=16, beginning=1)


def test_nothing_is_assumed_at_first():
    """Until both kinds of work were measured, a chunk is of moderate size."""
    assert 64 == Chunking(prompt_share=1.5).tokens(decoding=1, beginning=1)
