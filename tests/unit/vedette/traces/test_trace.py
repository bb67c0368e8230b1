"""Whether a trace is whole, and how it stands as a tree."""

from __future__ import annotations

from dataclasses import replace

import pytest

import servicekit.names
from vedette.traces import names
from vedette.traces.spans import Event, Kind, Status


def test_a_whole_request_is_whole(whole_request, trace_of):
    """All three services, every parent known apart from the caller's: nothing is missing."""
    trace = trace_of(whole_request())
    assert (trace.missing_hops, trace.orphans, trace.is_whole) == ((), (), True)


@pytest.mark.parametrize("hop", ["gateway", "guardrails", "inference"])
def test_a_service_without_spans_is_missing(whole_request, trace_of, hop):
    """A service that recorded nothing is named."""
    trace = trace_of([span for span in whole_request() if span.service != hop])
    assert trace.missing_hops == (hop,)


def test_a_blocked_prompt_need_not_reach_the_model(whole_request, trace_of):
    """What the guard blocked never went further, and that is no gap."""
    spans = whole_request(**{"vedette.finish_reason": "BLOCKED"})
    trace = trace_of([span for span in spans if span.span_id not in ("ic", "is", "p", "d")])
    assert trace.missing_hops == ()


def test_a_refused_request_need_not_go_further(span, trace_of):
    """What the gateway refused reached nobody else."""
    refused = {"rpc.response.status_code": "NOT_FOUND"}
    name = "vedette.gateway.v1.GatewayService/Generate"
    trace = trace_of([span("g", at=(0, 1), name=name, kind=Kind.SERVER, attributes=refused)])
    assert (trace.missing_hops, trace.outcome) == ((), "not_found")


def test_a_service_that_was_down_need_not_show(whole_request, trace_of):
    """The gateway says itself that something else stood in for it."""
    degraded = Event(name="degraded", time_ns=0, attributes={"vedette.degraded.part": "guardrails"})
    root, *rest = [span for span in whole_request() if span.service != "guardrails"]
    rest = [span for span in rest if span.span_id != "gc"]
    assert trace_of([root, *rest]).missing_hops == ("guardrails",)
    assert trace_of([replace(root, events=(degraded,)), *rest]).missing_hops == ()


@pytest.mark.parametrize(
    ("outcome", "expected"), [("hit", ()), ("shared", ()), ("miss", ("inference",))]
)
def test_an_answer_from_the_cache_did_without_the_model(
    span, whole_request, trace_of, outcome, expected
):
    """A hit explains why the model was not asked, a miss does not."""
    spans = [s for s in whole_request() if s.span_id not in ("ic", "is", "p", "d")]
    outcome = {"vedette.step.outcome": outcome}
    spans.append(span("k", "g", at=(11, 12), name="cache", attributes=outcome))
    assert trace_of(spans).missing_hops == expected


@pytest.mark.parametrize(
    ("code", "expected"), [("OK", ("inference",)), ("UNAVAILABLE", ()), ("CANCELLED", ())]
)
def test_who_answered_a_call_must_show(whole_request, trace_of, code, expected):
    """A call that succeeded was recorded by who answered it; one that failed may not have been."""
    spans = whole_request(**{"vedette.finish_reason": "BLOCKED"})
    trace = trace_of(
        [
            replace(span, attributes={"rpc.response.status_code": code})
            if span.span_id == "ic"
            else span
            for span in spans
            if span.service != "inference"
        ]
    )
    assert trace.missing_hops == expected


def test_a_lost_parent_makes_an_orphan(whole_request, trace_of):
    """A span whose parent a service should have recorded is an orphan."""
    trace = trace_of([span for span in whole_request() if span.span_id != "gc"])
    assert [span.span_id for span in trace.orphans] == ["gs"]


def test_a_direct_call_to_the_guard_has_no_orphan(span, trace_of):
    """The parent of the outermost call is the caller's, whichever service was called."""
    spans = [span("s", "caller", at=(0, 5), service="guardrails", kind=Kind.SERVER)]
    assert trace_of(spans).orphans == ()


def test_rows_are_the_tree_from_the_top(whole_request, trace_of):
    """Each span stands below its parent, siblings in order of time."""
    rows = [(row.span.span_id, row.depth, row.is_last) for row in trace_of(whole_request()).rows()]
    assert rows == [
        ("g", 0, True),
        ("gc", 1, False),
        ("gs", 2, True),
        ("ic", 1, True),
        ("is", 2, True),
        ("p", 3, False),
        ("d", 3, True),
    ]


def test_every_span_has_a_row_even_without_its_parent(whole_request, trace_of):
    """A hole in the tree does not hide what is below it."""
    spans = [span for span in whole_request() if span.span_id != "is"]
    assert {row.span.span_id for row in trace_of(spans).rows()} == {s.span_id for s in spans}


def test_a_span_that_is_its_own_ancestor_does_not_hang_the_tree(span, trace_of):
    """Damaged data is shown as far as it makes a tree."""
    spans = [span("a", "b", at=(0, 1)), span("b", "a", at=(0, 1))]
    assert [row.span.span_id for row in trace_of(spans).rows()] == ["a", "b"]


def test_a_span_that_arrives_twice_counts_once(whole_request, trace_of):
    """Exporters retry; a trace has each span once."""
    assert len(trace_of(whole_request() + whole_request()).spans) == len(whole_request())


@pytest.mark.parametrize(
    ("attributes", "status", "expected"),
    [
        ({"vedette.finish_reason": "BLOCKED"}, Status.UNSET, "blocked"),
        ({"vedette.finish_reason": "STOP"}, Status.ERROR, "error"),
        ({"rpc.response.status_code": "CANCELLED"}, Status.UNSET, "cancelled"),
        ({}, Status.UNSET, "ok"),
    ],
    ids=["a finish reason", "an error goes before it", "a status", "none of them"],
)
def test_the_outcome_is_one_word(span, trace_of, attributes, status, expected):
    """An error, else the finish reason, else the status."""
    assert (
        trace_of([span("a", at=(0, 1), attributes=attributes, status=status)]).outcome == expected
    )


def test_names_are_those_that_the_services_use():
    """Reading relies on exactly what is written."""
    for name in (name for name in vars(names) if name.isupper()):
        written = {"RPC_STATUS_CODE": "RPC_RESPONSE_STATUS_CODE"}.get(name, name)
        assert getattr(names, name) == getattr(servicekit.names, written)


def test_degradations_are_named_once(span, trace_of):
    """Part and mode, in the order in which they came."""
    reduced = [
        Event(name="degraded", time_ns=n, attributes={
            "vedette.degraded.part": "redis", "vedette.degraded.mode": mode})
        for n, mode in enumerate(("local_limits", "local_budget", "local_limits"))
    ]  # fmt: skip
    trace = trace_of([span("a", at=(0, 9), events=tuple(reduced))])
    assert ("redis local_limits", "redis local_budget") == trace.degradations
