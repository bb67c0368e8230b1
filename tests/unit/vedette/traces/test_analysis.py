"""Where the time went."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vedette.traces import analysis
from vedette.traces.spans import Kind, Span
from vedette.traces.trace import group

MS = 1_000_000


def in_ms(trace, stretch):
    return ((stretch.start_ns - trace.start_ns) / MS, (stretch.end_ns - trace.start_ns) / MS)


@pytest.mark.parametrize(
    ("children", "expected"),
    [
        ([], 10),
        ([(2, 5)], 7),
        ([(2, 5), (4, 6)], 6),
        ([(0, 10)], 0),
        ([(-3, 2), (9, 15)], 7),
        ([(1, 9), (2, 3)], 2),
    ],
    ids=["alone", "one child", "overlap counts once", "covered", "clipped", "one inside another"],
)
def test_self_time_is_what_no_child_covers(span, trace_of, children, expected):
    """The time of its own is the span without the union of what is below it."""
    spans = [span("a", at=(0, 10))]
    spans += [span(f"c{i}", "a", at=at) for i, at in enumerate(children)]
    trace = trace_of(spans)
    assert analysis.self_time_ns(trace, trace.by_id["a"]) == expected * MS


def path_of(trace):
    return [(s.span.span_id, *in_ms(trace, s)) for s in analysis.critical_path(trace)]


def test_the_critical_path_follows_what_ends_last(span, trace_of):
    """Of two phases at once, the one that ends last is what the caller waits for."""
    spans = [span("a", at=(0, 20)), span("short", "a", at=(2, 8)), span("long", "a", at=(4, 15))]
    assert path_of(trace_of(spans)) == [
        ("a", 0, 2),
        ("short", 2, 4),
        ("long", 4, 15),
        ("a", 15, 20),
    ]


def test_a_stream_that_only_follows_does_not_hide_the_work(span, trace_of):
    """The guard's stream outlasts the model's decoding and yet is not what took the time."""
    spans = [
        span("a", at=(0, 20)),
        span("guard", "a", at=(1, 19)),
        span("detect", "guard", at=(1, 2)),
        span("model", "a", at=(1, 18)),
        span("decode", "model", at=(3, 17)),
    ]
    assert path_of(trace_of(spans)) == [
        ("a", 0, 1),
        ("detect", 1, 2),
        ("guard", 2, 3),
        ("decode", 3, 17),
        ("guard", 17, 19),
        ("a", 19, 20),
    ]


def test_gaps_are_what_nothing_explains_longest_first(span, trace_of):
    """A stretch that no phase covers is named, unless it is too short to matter."""
    trace = trace_of(
        [span("a", at=(0, 20)), span("b", "a", at=(1, 4)), span("c", "a", at=(10, 18))]
    )
    found = [in_ms(trace, gap) for gap in analysis.gaps(trace, min_ns=2 * MS)]
    assert found == [(4, 10), (18, 20)]


def test_a_gap_of_a_call_is_its_way(span, trace_of):
    """Between a call and who takes it up, the time has a name, though no record."""
    spans = [
        span("call", at=(0, 30), kind=Kind.CLIENT),
        span("serve", "call", at=(10, 20), kind=Kind.SERVER, service="guardrails"),
        span("first", "serve", at=(10, 12), service="guardrails"),
        span("second", "serve", at=(17, 20), service="guardrails"),
    ]
    trace = trace_of(spans)
    assert [(in_ms(trace, gap), gap.note) for gap in analysis.notable_gaps(trace)] == [
        ((0, 10), "on the way to guardrails, or waiting there to be taken up"),
        ((20, 30), "on the way back from guardrails"),
        ((12, 17), "nothing recorded"),
    ]


def test_shares_add_up_what_each_span_explains(span, trace_of):
    """One line a span, the largest first, all together the whole."""
    trace = trace_of([span("a", at=(0, 20)), span("b", "a", at=(1, 9))])
    shares = [(s.span_id, ns / MS) for s, ns in analysis.shares(analysis.critical_path(trace))]
    assert shares == [("a", 12), ("b", 8)]


@st.composite
def trees(draw):
    """Spans with random times below random parents, as clocks and retries might leave them."""
    spans = []
    for number in range(draw(st.integers(1, 12))):
        start, length = draw(st.integers(0, 50)), draw(st.integers(0, 50))
        parent = draw(st.integers(0, number - 1)) if number else None
        spans.append(
            Span(
                trace_id="a" * 32,
                span_id=str(number),
                parent_id=None if parent is None else str(parent),
                name="work",
                service="gateway",
                kind=Kind.INTERNAL,
                start_ns=start,
                end_ns=start + length,
            )
        )
    return spans


@given(spans=trees())
def test_the_critical_path_covers_the_root_exactly(spans):
    """Its segments follow on one another from the start of the root to its end."""
    trace = group(spans)[0]
    path = analysis.critical_path(trace)
    times = [trace.root.start_ns, *(segment.end_ns for segment in path)]
    assert [segment.start_ns for segment in path] == times[:-1]
    assert times[-1] == trace.root.end_ns


@given(spans=trees())
def test_self_time_is_part_of_the_span(spans):
    """No span has more time of its own than it took, and none has less than nothing."""
    trace = group(spans)[0]
    assert all(0 <= analysis.self_time_ns(trace, span) <= span.duration_ns for span in trace.spans)


def test_first_token_and_rate_are_read_from_the_model(whole_request, trace_of):
    """The first token by its event, the rate over the time of decoding."""
    trace = trace_of(whole_request())
    assert analysis.first_token_ns(trace) == 41 * MS
    assert analysis.tokens_per_s(trace) == pytest.approx(12 / 0.056)


def test_a_request_without_tokens_has_neither(span, trace_of):
    """Nothing is made up for a request that never reached the model."""
    trace = trace_of([span("a", at=(0, 1))])
    assert (analysis.first_token_ns(trace), analysis.tokens_per_s(trace)) == (None, None)


def test_detectors_of_a_stream_do_not_hide_the_phases(span, trace_of):
    """Their time is a sum, drawn from the beginning, and says nothing of any moment."""
    stream = "vedette.guardrails.v1.GuardrailsService/StreamCheckText"
    spans = [
        span("a", at=(0, 20)),
        span("guard", "a", at=(0, 20), name=stream),
        span("detect", "guard", at=(0, 15), attributes={"vedette.guard.state": "RAN"}),
        span("prefill", "a", at=(0, 10)),
    ]
    expected = [("prefill", 0, 10), ("detect", 10, 15), ("guard", 15, 20)]
    assert expected == path_of(trace_of(spans))


def test_the_rate_of_several_requests_is_that_of_all(span, trace_of):
    """Tokens of all calls over the time that all of them decoded."""
    spans = [span("a", at=(0, 4000))]
    for name, start in (("b", 0), ("c", 2000)):
        made = {"gen_ai.usage.output_tokens": 10}
        spans.append(span(name, "a", at=(start, start + 2000), attributes=made))
        spans.append(span(f"{name}d", name, at=(start, start + 1000), name="decode"))
    assert 10 == analysis.tokens_per_s(trace_of(spans))
