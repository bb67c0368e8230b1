"""The circuit breaker, and the traps of the library beneath it."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from gateway.failure.breaker import Breaker, BreakerOpenError


@dataclass
class Clock:
    now_s: float = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker("part", fail_max=3, reset_s=2.0, now=clock)


def _fail(breaker: Breaker, times: int = 3) -> None:
    for _ in range(times):
        breaker.admit().failed()


def test_it_opens_after_failures_in_a_row(breaker: Breaker) -> None:
    """The third failure opens it, and the refusal says for how long."""
    _fail(breaker, 2)
    assert "closed" == breaker.state
    _fail(breaker, 1)

    with pytest.raises(BreakerOpenError) as refusal:
        breaker.admit()

    assert 2.0 == refusal.value.retry_after_s


def test_a_success_between_failures_starts_the_count_anew(breaker: Breaker) -> None:
    """Only failures in a row count."""
    _fail(breaker, 2)
    breaker.admit().succeeded()
    _fail(breaker, 2)

    assert "closed" == breaker.state


def test_a_cancelled_call_counts_neither_way(breaker: Breaker) -> None:
    """It neither opens the breaker nor makes earlier failures forgotten."""
    for _ in range(10):
        breaker.admit().left()
    assert "closed" == breaker.state
    _fail(breaker, 2)
    breaker.admit().left()
    _fail(breaker, 1)

    assert "open" == breaker.state


def test_half_open_admits_one_probe(breaker: Breaker, clock: Clock) -> None:
    """Of a hundred callers at the moment it half opens, one passes."""
    _fail(breaker)
    clock.now_s = 2.0
    admitted = 0
    for _ in range(100):
        try:
            breaker.admit()
            admitted += 1
        except BreakerOpenError:
            pass

    assert 1 == admitted


@pytest.mark.parametrize(
    ("outcome", "state"),
    [("succeeded", "closed"), ("failed", "open"), ("left", "half-open")],
)
def test_the_probe_decides(breaker: Breaker, clock: Clock, outcome: str, state: str) -> None:
    """Success closes, failure opens, and a cancelled probe leaves the question open."""
    _fail(breaker)
    clock.now_s = 2.0
    probe = breaker.admit()

    getattr(probe, outcome)()

    assert state == breaker.state


def test_after_a_cancelled_probe_another_may_try(breaker: Breaker, clock: Clock) -> None:
    """The place of the probe is free again."""
    _fail(breaker)
    clock.now_s = 2.0
    breaker.admit().left()

    breaker.admit().succeeded()

    assert "closed" == breaker.state


def test_a_failed_probe_waits_the_whole_time_again(breaker: Breaker, clock: Clock) -> None:
    """The pause begins anew, by the injected clock."""
    _fail(breaker)
    clock.now_s = 2.0
    breaker.admit().failed()
    clock.now_s = 3.9

    with pytest.raises(BreakerOpenError):
        breaker.admit()


@pytest.mark.parametrize("outcome", ["succeeded", "failed"])
def test_late_news_does_not_count(breaker: Breaker, clock: Clock, outcome: str) -> None:
    """A call from before it opened says nothing about now."""
    late = [breaker.admit() for _ in range(3)]
    _fail(breaker)
    getattr(late[0], outcome)()
    assert "open" == breaker.state
    clock.now_s = 2.0
    probe = breaker.admit()

    getattr(late[1], outcome)()
    assert "half-open" == breaker.state
    probe.succeeded()
    assert "closed" == breaker.state
