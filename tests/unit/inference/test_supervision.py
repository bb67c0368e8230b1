"""Health of an engine."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from inference.supervision import Supervisor


@pytest.fixture
def bench():
    """A supervisor with a clock that only the test moves, and a worker that does as told."""
    parts = SimpleNamespace(now_s=0.0, healthy=None, step_age_s=0.0, limits=[])
    parts.set = lambda healthy: setattr(parts, "healthy", healthy)
    parts.cancel_stalled = parts.limits.append
    parts.supervisor = Supervisor(
        parts, step_limit_s=10, reader_limit_s=30, now=lambda: parts.now_s
    )
    parts.check = lambda: (parts.supervisor.check(parts), parts.healthy)[1]
    return parts


@pytest.mark.parametrize(
    ("failures_s", "now_s", "expected"),
    [
        pytest.param([], 0, True, id="none"),
        pytest.param([0, 1], 2, True, id="two"),
        pytest.param([0, 1, 2], 3, False, id="three"),
        pytest.param([0, 30, 59], 59, False, id="three-in-a-minute"),
        pytest.param([0, 30, 61], 61, True, id="three-in-more"),
        pytest.param([0, 1, 2], 61, True, id="a-minute-later"),
    ],
)
def test_three_failures_in_a_minute_are_too_many(bench, failures_s, now_s, expected):
    """Health turns with the third failure and comes back when a minute has passed."""
    for moment_s in failures_s:
        bench.now_s = moment_s
        bench.supervisor.note_failure()
    bench.now_s = now_s
    assert expected is bench.check()


def test_a_step_that_hangs_is_noticed(bench):
    """While a step is older than the limit the engine is unwell."""
    bench.step_age_s = 11
    assert bench.check() is False
    bench.step_age_s = 1
    assert bench.check() is True


def test_stalled_readers_are_cancelled(bench):
    """Every look also ends the requests that nobody reads."""
    bench.check()
    assert [30] == bench.limits
