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


def test_out_of_memory_fails_the_newcomer_and_the_others_go_on(bench):
    """A prompt that is too much ends with an error; answers under way are computed again."""

    class Small(WeightlessRunner):
        def forward(self, rows):
            if sum(row.stop - row.start for row in rows) > 20:
                raise MemoryError
            return super().forward(rows)

    engine = bench(runner=Small(num_blocks=32))
    kept = engine.add("under way")
    engine.step()
    lost = engine.add("x" * 30)
    with pytest.raises(StepError) as caught:
        engine.step()
    engine.collect(caught.value.outputs)
    engine.run()
    assert FinishReason.ERROR is engine.finals[lost].finish_reason
    assert "under way" == engine.texts[kept]


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        pytest.param({"max_running": 1}, "new", id="places"),
        pytest.param({"num_blocks": 4}, "y" * 40, id="blocks"),
    ],
)
def test_a_request_that_nobody_reads_gives_its_place_to_others(bench, fields, text):
    """It is paused, another is answered in its place, and then it ends as if nothing had been."""
    engine = bench(**fields)
    unread = engine.add("a long answer " * 2)
    engine.step(), engine.step()
    engine.engine.pause(unread, paused=True)
    other = engine.add(text, max_new_tokens=5)
    for _ in range(8):
        engine.step()
    assert text[:5] == engine.texts[other]
    assert unread not in engine.finals
    engine.engine.pause(unread, paused=False)
    engine.run()
    assert "a long answer " * 2 == engine.texts[unread]


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


@pytest.fixture
def paced(bench):
    """An engine of which it is known that a step takes a second, however full."""

    def build(**fields):
        engine = bench(**fields).clocked(1.0)
        for number in range(4):
            engine.add(f"{number}" * 65, max_new_tokens=3)
            engine.run()
        engine.forwarded = 0
        return engine

    return build


@pytest.mark.parametrize(
    ("prompt", "sampling", "left_s", "refused"),
    [
        # Half of what it takes: 10 steps for the prompt of 640 tokens.
        pytest.param("x" * 637, {}, 4.9, True, id="prompt"),
        pytest.param("x" * 637, {}, 5.2, False, id="shorter-prompt"),
        pytest.param("x" * 637, {}, float("inf"), False, id="no-deadline"),
        # A short prompt in half a step, and nine more steps for its answer.
        pytest.param("x" * 50, {"min_new_tokens": 10}, 4.8, True, id="least-answer"),
        pytest.param("x" * 50, {"max_new_tokens": 99}, 4.8, False, id="may-stop-early"),
        pytest.param("x" * 50, {}, 0.0, True, id="too-late-already"),
    ],
)
def test_what_cannot_end_in_time_is_refused_before_it_costs_a_step(
    paced, prompt, sampling, left_s, refused
):
    """Even twice as fast as it ever was, an idle engine would be too late."""
    engine = paced(num_blocks=64, context_length=1024)
    number = engine.add("y" + prompt, deadline_s=engine.now_s + left_s, **sampling)
    assert refused is (number in engine.refusals)
    if refused:
        assert engine.refusals[number].retry_after_s is None
        assert not engine.engine.has_work
        engine.run()
        assert 0 == engine.forwarded


def test_a_prompt_that_is_cached_needs_no_time(paced):
    """What need not be computed again is not a reason to refuse."""
    engine = paced(num_blocks=64, context_length=1024)
    prompt = "y" + "x" * 637
    assert engine.add(prompt, deadline_s=engine.now_s + 4) in engine.refusals
    engine.add(prompt)
    engine.run()
    assert engine.add(prompt, deadline_s=engine.now_s + 4) not in engine.refusals


def test_an_engine_that_knows_nothing_refuses_nothing(bench):
    """Without measured times only a deadline that has passed is too short."""
    engine = bench(max_running=1).clocked(1.0)
    for _ in range(20):
        engine.add("x" * 500, deadline_s=0.1)
    assert {} == engine.refusals
    assert engine.add("hi", deadline_s=0.0) in engine.refusals


def test_a_queue_that_is_too_long_is_said_with_a_time_to_come_back(paced):
    """Ten requests of five steps each leave no room before a deadline of twenty seconds."""
    engine = paced(max_running=1)
    for _ in range(6):
        engine.add("abcd")
    while len(engine.scheduler._waiting):
        engine.step()
    waiting = [engine.add("abcd") for _ in range(10)]
    refused = engine.add("abcd", deadline_s=engine.now_s + 20)
    patient = engine.add("abcd", deadline_s=engine.now_s + 60)
    assert 0 < engine.refusals[refused].retry_after_s < 10
    engine.run()
    assert {refused} == set(engine.refusals)
    assert {"abcd"} == {engine.texts[number] for number in [*waiting, patient]}


def test_a_request_whose_time_ran_out_in_the_queue_costs_no_step(paced):
    """At its turn too little is left for its prompt: it ends without having been computed."""
    engine = paced(max_running=1, num_blocks=64, context_length=1024)
    running = engine.add("abcdefgh")
    engine.step()
    waiting = engine.add("y" + "x" * 637, deadline_s=engine.now_s + 10)
    assert waiting not in engine.refusals
    engine.forwarded = 0
    engine.run()
    assert "abcdefgh" == engine.texts[running]
    assert FinishReason.TIME_LIMIT is engine.finals[waiting].finish_reason
    assert 8 == engine.forwarded
    assert engine.finals[waiting].timings.scheduled_s is None


def test_the_least_urgent_are_answered_beside_a_flood_of_urgent_ones(bench):
    """Where each finished urgent request is followed by another, low ones have their share."""
    engine = bench(max_running=2, num_blocks=16)
    low = [engine.add(f"low {number}", priority=1) for number in range(3)]
    urgent = {engine.add("urgent", priority=3) for _ in range(20)}
    while not set(low) <= set(engine.finals):
        assert len(urgent) < 70, "the low ones starve"
        for output in engine.step():
            if output.finish_reason is not None and output.request_id in urgent:
                urgent.add(engine.add("urgent", priority=3))
    assert ["low 0", "low 1", "low 2"] == [engine.texts[number] for number in low]


def test_a_low_request_ends_though_urgent_ones_outgrow_the_memory(bench):
    """It gives its blocks back first, and yet again and again has its turn."""
    engine = bench(max_running=6, num_blocks=12, max_step_tokens=24, context_length=192)
    low = engine.add("l" * 48, priority=1)
    preemptions = 0
    for _ in range(3000):
        if low in engine.finals:
            break
        if len(engine.engine._sequences) < 9:
            engine.add("u" * (40 + len(engine.texts) % 50), priority=3)
        engine.step()
        preemptions += engine.engine._sequences.get(low) in engine.scheduler._waiting._preempted
    assert "l" * 48 == engine.texts[low]
    assert preemptions > 2


REQUESTS = st.lists(
    st.tuples(
        st.integers(0, 12),  # the step before which it arrives
        st.text("ab é", max_size=40),
        st.integers(1, 30),  # max_new_tokens
        st.sampled_from(["", "x", "y"]),  # tenant
        st.sampled_from([1, 2, 3]),  # priority
        st.none() | st.integers(0, 20),  # the step before which it is cancelled
        st.none() | st.integers(1, 60),  # seconds it is given, at a second a step
        st.none() | st.integers(0, 20),  # the step from which nobody reads it, for ten steps
    ),
    max_size=12,
)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(REQUESTS, st.integers(8, 24), st.integers(1, 5), st.integers(16, 40))
def test_nothing_is_lost_whatever_arrives(
    bench, requests, num_blocks, max_running, max_step_tokens
):
    """Each request is answered as if it were alone, refused, cancelled or out of time.

    Nothing starves, blocks are consistent after every step, and at rest all are free.
    """
    engine = bench(num_blocks=num_blocks, max_running=max_running, max_step_tokens=max_step_tokens)
    engine.clocked(1.0)
    asked = _drive(engine, requests)
    engine.run()
    for number, (_, text, length, _, _, cancelled, given_s, _) in asked.items():
        whole = text.encode()[:length].decode(errors="replace")
        if number in engine.refusals:
            assert given_s is not None
        elif number not in engine.finals:
            assert cancelled is not None
        elif FinishReason.TIME_LIMIT is engine.finals[number].finish_reason:
            assert given_s is not None
            assert whole.startswith(engine.texts[number].rstrip("\ufffd"))
        else:
            assert whole == engine.texts[number]


def _drive(engine, requests):
    """Do what the requests say, step by step; the requests by their numbers."""
    asked, step = {}, 0
    while engine.engine.has_work or any(request[0] >= step for request in requests):
        assert step < 2000, "something starves"
        for request in requests:
            if request[0] == step:
                asked[_ask(engine, *request)] = request
        for number, (*_, cancelled, _, unread) in asked.items():
            if cancelled == step:
                engine.engine.abort(number)
            if unread in (step, step - 10):
                engine.engine.pause(number, paused=unread == step)
        engine.step()
        step += 1
    return asked


def _ask(engine, _, text, length, tenant, priority, __, given_s, ___):
    deadline_s = float("inf") if given_s is None else engine.now_s + given_s
    return engine.add(
        text, max_new_tokens=length, tenant=tenant, priority=priority, deadline_s=deadline_s
    )
