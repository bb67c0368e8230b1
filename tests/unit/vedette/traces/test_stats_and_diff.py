"""Many traces summed up, and two compared."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vedette.traces.diff import diff
from vedette.traces.spans import Status
from vedette.traces.stats import by_span_name, percentile
from vedette.traces.trace import group

MS = 1_000_000


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [([7], 50, 7), ([7], 99, 7), (range(1, 101), 50, 50), (range(1, 101), 99, 99), ([1, 2], 95, 2)],
)
def test_a_percentile_is_by_nearest_rank(values, percent, expected):
    """The smallest value that at least so many percent do not exceed."""
    assert percentile(list(values), percent) == expected


@given(values=st.lists(st.integers(), min_size=1), percent=st.floats(0, 100))
def test_a_percentile_is_one_of_the_values_and_bounds_its_share(values, percent):
    """At least its share of the values is not above it."""
    found = percentile(sorted(values), percent)
    assert found in values
    assert sum(value <= found for value in values) >= len(values) * percent / 100 - 1e-9


def test_spans_are_summed_up_by_service_and_name(span):
    """Counts, errors and percentiles for each kind, the slowest kind first."""
    spans = []
    for number in range(1, 101):
        trace_id = f"{number:032x}"
        status = Status.ERROR if number > 98 else Status.UNSET
        spans.append(span("g", at=(0, 2 * number), trace_id=trace_id, status=status))
        spans.append(span("i", "g", at=(0, number), trace_id=trace_id, service="inference"))
    outer, inner = by_span_name(group(spans))
    assert (outer.service, outer.name, outer.count, outer.errors) == ("gateway", "g", 100, 2)
    assert [ns / MS for ns in (outer.p50_ns, outer.p95_ns, outer.p99_ns, outer.max_ns)] == [
        100,
        190,
        198,
        200,
    ]
    assert (inner.service, inner.p50_ns / MS, outer.self_p50_ns / MS) == ("inference", 50, 50)


def test_a_diff_pairs_spans_by_their_place(span, trace_of):
    """The same place in both trees is one line; what only one has is marked by its absence."""
    before = trace_of(
        [
            span("a", at=(0, 10)),
            span("b", "a", at=(1, 4)),
            span("old", "a", at=(4, 5)),
            span("d", "a", at=(5, 9)),
        ]
    )
    after = trace_of(
        [
            span("1", at=(0, 30), name="a"),
            span("2", "1", at=(1, 3), name="b"),
            span("3", "1", at=(3, 25), name="d"),
            span("4", "1", at=(25, 26), name="new"),
        ]
    )
    pairs = [
        (p.span.name, p.depth, p.change_ns / MS, p.waited_change_ns / MS)
        for p in diff(before, after)
    ]
    assert pairs == [
        ("a", 0, 20, 3),
        ("b", 1, -1, -1),
        ("old", 1, -1, -1),
        ("d", 1, 18, 18),
        ("new", 1, 1, 1),
    ]


def test_siblings_of_one_name_are_paired_in_order(span, trace_of):
    """The second call of a kind is compared with the second."""
    before = trace_of([span("a", at=(0, 9)), *(
        span(f"c{n}", "a", at=(n, n + 1), name="call") for n in range(3))])  # fmt: skip
    after = trace_of([span("a", at=(0, 9)), *(
        span(f"d{n}", "a", at=(n, n + 2), name="call") for n in range(2))])  # fmt: skip
    pairs = diff(before, after)[1:]
    assert [(p.before and p.before.span_id, p.after and p.after.span_id) for p in pairs] == [
        ("c0", "d0"),
        ("c1", "d1"),
        ("c2", None),
    ]


def test_a_trace_does_not_differ_from_itself(whole_request, trace_of):
    """Every place is in both, and nothing changed."""
    trace = trace_of(whole_request())
    pairs = diff(trace, trace)
    assert [(p.before, p.after, p.change_ns) for p in pairs] == [
        (row.span, row.span, 0) for row in trace.rows()
    ]
