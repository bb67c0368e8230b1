"""What a caller waited for most, in a sentence."""

from __future__ import annotations

import pytest

from vedette.traces.cause import cause
from vedette.traces.spans import Kind


def found(trace):
    one = cause(trace)
    return (one.span.name, one.count, round(one.share, 2), one.words)


def test_a_long_decode_says_what_it_made(whole_request, trace_of):
    """Tokens, their rate, and how much of the whole it was."""
    expected = ("decode", 1, 0.56, "making 12 tokens at 214 tokens/s")
    assert expected == found(trace_of(whole_request()))


@pytest.mark.parametrize(
    ("tokens", "others", "expected"),
    [
        (1, "b", "making 1 token at 125 tokens/s, beside 1 other request"),
        (2, "bc", "making 2 tokens at 250 tokens/s, beside 2 other requests"),
    ],
)
def test_one_of_a_kind_is_singular(span, trace_of, tokens, others, expected):
    """The number decides how a thing is called."""
    usage = {"gen_ai.usage.output_tokens": tokens}
    shared = tuple(letter * 32 for letter in others)
    decode = span("phase", "call", at=(1, 9), name="decode", shared_with=shared)
    *_, words = found(trace_of([span("call", at=(0, 10), attributes=usage), decode]))
    assert expected == words


def test_a_long_prefill_says_how_much_was_known(span, trace_of):
    """A cold prefix cache shows in the sentence."""
    usage = {"gen_ai.usage.input_tokens": 1200, "vedette.cached_tokens": 16}
    spans = [
        span("call", at=(0, 10), attributes=usage),
        span("phase", "call", at=(1, 9), name="prefill"),
    ]
    words = "computing a prompt of 1,200 tokens, 16 of them known from earlier prompts"
    assert ("prefill", 1, 0.8, words) == found(trace_of(spans))


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("RAN", "a detector of the guard reading the prompt"),
        ("TIMED_OUT", "a detector of the guard reading the prompt, until it ran out of time"),
    ],
)
def test_a_slow_detector_is_named_as_one(span, trace_of, state, expected):
    """With what it read, and whether it came to an end."""
    spans = [
        span("check", at=(0, 10), attributes={"vedette.guard.direction": "INPUT"}),
        span(
            "d",
            "check",
            at=(1, 9),
            name="detect attacks",
            attributes={"vedette.guard.state": state},
        ),
    ]
    assert ("detect attacks", 1, 0.8, expected) == found(trace_of(spans))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("queue", "waiting for the engine, which was busy with other requests"),
        ("limits", "asking where limits, budgets and records are kept: Redis, if one is set"),
        ("verdict_cache", "looking into a cache: in Redis, if one is set"),
        ("sorting", "work of gateway that no other span names"),
    ],
)
def test_a_step_says_what_it_waits_for(span, trace_of, name, expected):
    """By its name alone, where that says enough."""
    spans = [span("call", at=(0, 10)), span("step", "call", at=(1, 9), name=name)]
    assert (name, 1, 0.8, expected) == found(trace_of(spans))


def test_a_call_on_its_way_says_so(span, trace_of):
    """There and back, between two services."""
    spans = [
        span("root", at=(0, 10)),
        span("call", "root", at=(0, 10), kind=Kind.CLIENT),
        span("answer", "call", at=(4, 6), kind=Kind.SERVER, service="guardrails"),
    ]
    words = "on the way to guardrails and back, or waiting there to be taken up"
    assert ("call", 1, 0.8, words) == found(trace_of(spans))


def test_a_stream_that_lags_names_its_busiest_detector(span, trace_of):
    """Text is held for the slowest detector, which was busy now and then."""
    ran = {"vedette.guard.state": "RAN"}
    stream = "vedette.guardrails.v1.GuardrailsService/StreamCheckText"
    spans = [
        span("root", at=(0, 100)),
        span("phase", "root", at=(0, 20), name="decode"),
        span("guard", "root", at=(0, 100), name=stream),
        span("d1", "guard", at=(0, 5), attributes=ran | {"vedette.guard.detector": "pii"}),
        span("d2", "guard", at=(0, 15), attributes=ran | {"vedette.guard.detector": "attacks"}),
    ]
    words = "holding text for its detectors, of which attacks was busy longest"
    assert words == cause(trace_of(spans)).words


def test_spans_of_a_kind_count_together(span, trace_of):
    """Four short waits of one kind outweigh a longer one of another."""
    spans = [span("root", at=(0, 100)), span("one", "root", at=(0, 30), name="prefill")]
    spans += [span(f"q{n}", "root", at=(30 + 10 * n, 40 + 10 * n), name="queue") for n in range(4)]
    name, count, share, _ = found(trace_of(spans))
    assert ("queue", 4, 0.4) == (name, count, share)


def test_steps_that_ask_one_store_count_together(span, trace_of):
    """Each is short beside the decode; that all are slow is what matters."""
    steps = {"limits": (0, 25), "budget": (25, 50), "decode": (50, 90), "settle": (90, 100)}
    spans = [span("root", at=(0, 100))]
    spans += [span(name, "root", at=at) for name, at in steps.items()]
    one = cause(trace_of(spans))
    assert ("limits, budget, settle", 3, 0.6) == (one.name, one.count, one.share)
    assert one.words.endswith("Redis, if one is set")


def test_a_trace_without_time_has_none(span, trace_of):
    """Nothing is divided by nothing."""
    assert cause(trace_of([span("a", at=(0, 0))])) is None
