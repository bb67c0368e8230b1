"""Which traces are worth a look."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from vedette.traces.filters import Filter, since_ns
from vedette.traces.spans import Status

MS = 1_000_000
NOW = datetime(2026, 11, 21, 8, 0, tzinfo=timezone(timedelta(hours=1)))


@pytest.fixture
def trace(span, trace_of):
    """A blocked request of 50 ms with an error inside."""
    facts = {"vedette.finish_reason": "BLOCKED", "vedette.tenant": "acme"}
    return trace_of(
        [
            span("a", at=(0, 50), attributes=facts),
            span("b", "a", at=(1, 2), status=Status.ERROR),
        ]
    )


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({}, True),
        ({"slow_ns": 50 * MS}, True),
        ({"slow_ns": 51 * MS}, False),
        ({"errors": True}, True),
        ({"blocked": True}, True),
        ({"tenant": "acme"}, True),
        ({"tenant": "acm"}, False),
        ({"since_ns": 1}, True),
        ({"since_ns": 2**63}, False),
        ({"blocked": True, "tenant": "other"}, False),
    ],
    ids=str,
)
def test_all_conditions_have_to_hold(trace, conditions, expected):
    """Each condition narrows the choice, and none of them is none."""
    assert Filter(**conditions).matches(trace) is expected


def test_a_trace_without_error_is_not_among_the_errors(whole_request, trace_of):
    """Nor is an answered one among the blocked."""
    trace = trace_of(whole_request())
    assert not Filter(errors=True).matches(trace)
    assert not Filter(blocked=True).matches(trace)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("30s", NOW - timedelta(seconds=30)),
        ("10m", NOW - timedelta(minutes=10)),
        ("2h", NOW - timedelta(hours=2)),
        ("1d", NOW - timedelta(days=1)),
        ("2026-11-21T07:00", NOW - timedelta(hours=1)),
        ("2026-11-21T07:00+00:00", NOW),
    ],
)
def test_a_moment_may_be_said_in_two_ways(words, expected):
    """A time ago, or a date; without a zone, the reader's own."""
    assert since_ns(words, now=NOW) == int(expected.timestamp() * 1e9)


@pytest.mark.parametrize("words", ["soon", "10", "m", "-5m", "10 m", "2026-13-01"])
def test_other_words_are_no_moment(words):
    """What cannot be read is an error, not a guess."""
    with pytest.raises(ValueError):
        since_ns(words, now=NOW)
