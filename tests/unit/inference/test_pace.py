"""What an engine knows of its own speed."""

from __future__ import annotations

import pytest

from inference.engine.pace import Pace

PROMPT = {"decoding": 0, "prompt_tokens": 512}
ANSWER = {"decoding": 3, "prompt_tokens": 0}


@pytest.fixture
def pace():
    return Pace(max_step_tokens=512)


def test_nothing_is_known_at_first(pace):
    """The unknown takes no time."""
    assert 0 == pace.least_s(0, prompt_tokens=10_000, new_tokens=10_000)
    assert 0 == pace.least_wait_s(0, places=10_000)


@pytest.mark.parametrize(
    ("seen", "prompt_tokens", "new_tokens", "expected"),
    [
        pytest.param([(PROMPT, 1.0)] * 4, 2048, 1, 2.0, id="prompt"),
        pytest.param([(PROMPT, 1.0)] * 3, 2048, 1, 0.0, id="too-seldom"),
        pytest.param([(ANSWER, 0.1)] * 4, 2048, 11, 0.5, id="answer"),
        pytest.param([(PROMPT, 1.0), (ANSWER, 0.1)] * 4, 1024, 11, 1.5, id="both"),
        pytest.param([(ANSWER, s) for s in (9, 0.1, 8, 9)], 1, 11, 0.5, id="best"),
    ],
)
def test_half_of_the_best_times_is_the_least(pace, seen, prompt_tokens, new_tokens, expected):
    """Prompts count by their tokens, answers by their steps, the first of which the prompt pays."""
    for step, seconds in seen:
        pace.note_step(0, seconds, **step)
    least_s = pace.least_s(0, prompt_tokens=prompt_tokens, new_tokens=new_tokens)
    assert expected == pytest.approx(least_s, rel=0.05)


def test_small_steps_say_nothing_of_large_ones(pace):
    """A token costs less the more there are of them in a step."""
    for _ in range(9):
        pace.note_step(0, 1.0, decoding=0, prompt_tokens=20)
    assert 0 == pace.least_s(0, prompt_tokens=64, new_tokens=1)
    assert 0.5 == pytest.approx(pace.least_s(0, prompt_tokens=20, new_tokens=1))


def test_what_was_long_ago_is_not_known(pace):
    """So an estimate that keeps requests away is tried anew."""
    for _ in range(9):
        pace.note_step(0, 1.0, **PROMPT)
        pace.note_queue(0, 1.0, left=1)
    assert 0 < pace.least_s(30, prompt_tokens=512, new_tokens=1)
    assert 0 == pace.least_s(31, prompt_tokens=512, new_tokens=1)
    assert 0 == pace.least_wait_s(31, places=9)


def test_a_best_time_that_does_not_come_again_is_forgotten(pace):
    """When the machine becomes slower, the estimate follows."""
    pace.note_step(0, 0.1, **ANSWER)
    for _ in range(300):
        pace.note_step(0, 1.0, **ANSWER)
    assert 5 == pace.least_s(0, prompt_tokens=1, new_tokens=11)


def test_a_queue_is_as_fast_as_it_was(pace):
    """Answers that began together end together, and the time between counts."""
    for step in range(400):
        pace.note_queue(step, 0.1, left=8 if step % 40 == 39 else 0)
    assert 10 * 0.1 * 40 / 8 / 2 == pytest.approx(pace.least_wait_s(400, places=10), rel=0.1)
