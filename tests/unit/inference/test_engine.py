"""The engine over a runner without weights."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inference.backends.weightless import WeightlessRunner
from inference.engine.engine import StepError
from inference.engine.request import FinishReason, Usage


def test_answer_arrives_token_by_token(bench):
    """Every step brings one token, and the last news has the account."""
    engine = bench()
    number = engine.add("hey")
    engine.run()
    assert "hey" == engine.texts[number]
    final = engine.finals[number]
    assert FinishReason.STOP is final.finish_reason
    assert Usage(input_tokens=6, output_tokens=4, cached_tokens=0) == final.usage


@pytest.mark.parametrize(
    ("sampling", "expected", "reason"),
    [
        pytest.param({"max_new_tokens": 3}, "abc", FinishReason.LENGTH, id="length"),
        pytest.param({"stop": ("def",)}, "abc", FinishReason.STOP, id="stop-string"),
        pytest.param({"stop": ("fgX",)}, "abcdefgh", FinishReason.STOP, id="near-miss"),
        pytest.param(
            {"stop": ("b",), "min_new_tokens": 4}, "abcdefgh", FinishReason.STOP, id="too-early"
        ),
        pytest.param({"temperature": 1.0, "seed": 3}, "abcdefgh", FinishReason.STOP, id="sampled"),
    ],
)
def test_answer_ends_where_it_should(bench, sampling, expected, reason):
    """Lengths, stop strings and the model's own end each end an answer."""
    engine = bench()
    number = engine.add("abcdefgh", **sampling)
    engine.run()
    assert (expected, reason) == (engine.texts[number], engine.finals[number].finish_reason)


def test_a_stop_token_ends_the_answer_without_text(bench):
    """A stop token counts as used and is not shown."""
    engine = bench()
    token = engine.engine._vocabulary.backend.token_to_id("c")
    number = engine.add("abc", stop_token_ids=frozenset({token}))
    engine.run()
    assert "ab" == engine.texts[number]
    assert 3 == engine.finals[number].usage.output_tokens


def test_context_length_ends_the_answer(bench):
    """Prompt and answer together never outgrow the context."""
    engine = bench(context_length=16)
    number = engine.add("abcdefghij")
    engine.run()
    assert FinishReason.LENGTH is engine.finals[number].finish_reason
    assert "abc" == engine.texts[number]


def test_abort_frees_everything_at_once(bench):
    """An aborted request holds no block and gives no more news."""
    engine = bench()
    number = engine.add("a long answer")
    engine.step()
    engine.engine.abort(number)
    assert not engine.engine.has_work
    assert engine.blocks.num_available == engine.blocks.num_blocks
    assert [] == engine.engine.step()
    engine.engine.abort(number)


def test_deadline_ends_the_answer_with_what_was_made(bench):
    """At its deadline a request ends with the text so far, running or still waiting."""
    engine = bench(max_running=1)
    running = engine.add("a long answer", deadline_s=5)
    waiting = engine.add("another", deadline_s=5)
    engine.step()
    engine.now_s = 5
    engine.step()
    assert not engine.engine.has_work
    assert FinishReason.TIME_LIMIT is engine.finals[running].finish_reason
    assert FinishReason.TIME_LIMIT is engine.finals[waiting].finish_reason
    assert ("a", "") == (engine.texts[running], engine.texts[waiting])


def test_a_failed_step_fails_its_requests_and_the_engine_goes_on(bench):
    """Requests that did not share the step are answered, and so is the next one."""

    class Flaky(WeightlessRunner):
        broken = True

        def forward(self, rows):
            if self.broken:
                raise ValueError
            return super().forward(rows)

    runner = Flaky(num_blocks=16)
    engine = bench(runner=runner, max_running=1)
    lost, kept = engine.add("lost"), engine.add("kept")
    with pytest.raises(StepError) as caught:
        engine.step()
    engine.collect(caught.value.outputs)
    runner.broken = False
    engine.run()
    assert FinishReason.ERROR is engine.finals[lost].finish_reason
    assert "kept" == engine.texts[kept]


def test_a_long_prompt_does_not_hold_up_a_running_answer(bench):
    """While a prompt is computed in chunks, a running answer gets a token every step."""
    engine = bench(max_step_tokens=16, num_blocks=64)
    running = engine.add("0123456789" * 3)
    engine.step(), engine.step(), engine.step()
    engine.add("x" * 160)
    for _ in range(10):
        assert running in {output.request_id for output in engine.step()}
    engine.run()


def test_a_shared_beginning_is_computed_once(bench):
    """The second request with the same prompt finds the full blocks of the first."""
    engine = bench()
    prompt = "the same beginning of some length"
    engine.add(prompt)
    engine.run()
    second = engine.add(prompt)
    stranger = engine.add(prompt, tenant="other")
    engine.run()
    assert 32 == engine.finals[second].usage.cached_tokens
    assert 0 == engine.finals[stranger].usage.cached_tokens


REQUESTS = st.lists(
    st.tuples(
        st.integers(0, 12),  # the step before which it arrives
        st.text("ab é", max_size=40),
        st.integers(1, 30),  # max_new_tokens
        st.sampled_from(["", "x", "y"]),  # tenant
        st.sampled_from([1, 2, 3]),  # priority
        st.none() | st.integers(0, 20),  # the step before which it is cancelled
    ),
    max_size=12,
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(REQUESTS, st.integers(8, 24), st.integers(1, 5), st.integers(16, 40))
def test_nothing_is_lost_whatever_arrives(
    bench, requests, num_blocks, max_running, max_step_tokens
):
    """Each request that is not cancelled is answered as if it were alone; then all is free."""
    engine = bench(num_blocks=num_blocks, max_running=max_running, max_step_tokens=max_step_tokens)
    expected, cancels, step = {}, {}, 0
    while engine.engine.has_work or any(arrival[0] >= step for arrival in requests):
        assert step < 2000, "something starves"
        for arrives, text, length, tenant, priority, cancelled in requests:
            if arrives == step:
                number = engine.add(text, max_new_tokens=length, tenant=tenant, priority=priority)
                expected[number] = (text, length)
                cancels[number] = cancelled
        for number, when in cancels.items():
            if when == step:
                engine.engine.abort(number)
        engine.step()
        step += 1
    engine.run()
    for number, (text, length) in expected.items():
        if number in engine.finals:
            whole = text.encode()[:length].decode(errors="replace")
            assert whole == engine.texts[number]
        else:
            assert cancels[number] is not None
