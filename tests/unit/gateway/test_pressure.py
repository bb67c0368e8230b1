"""Admission by the delay of the model's queue."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from gateway.limits.shedding import Pressure
from gateway.terms import Priority


@dataclass
class Clock:
    now_s: float = 0.0

    def __call__(self) -> float:
        return self.now_s


def _pressure(most=10, clock=None) -> Pressure:
    return Pressure(target_delay_s=0.1, most=most, now=clock or Clock())


def _fill(pressure: Pressure, count: int) -> None:
    for _ in range(count):
        pressure.began()


@pytest.mark.parametrize(
    ("in_flight", "admitted"),
    [
        pytest.param(6, {Priority.LOW, Priority.NORMAL, Priority.HIGH}, id="room for all"),
        pytest.param(7, {Priority.NORMAL, Priority.HIGH}, id="low waits"),
        pytest.param(9, {Priority.HIGH}, id="only high"),
        pytest.param(10, set(), id="full"),
    ],
)
def test_the_last_room_is_for_the_higher_classes(in_flight, admitted) -> None:
    """When room runs short, the lower classes are refused first."""
    pressure = _pressure()
    _fill(pressure, in_flight)

    assert admitted == {priority for priority in Priority if pressure.admits(priority)}


@pytest.mark.parametrize(
    ("delay_s", "refused", "grows"),
    [
        pytest.param(0.01, False, True, id="hardly waited"),
        pytest.param(0.2, False, False, id="waited too long"),
        pytest.param(None, True, False, id="refused by the queue"),
        pytest.param(None, False, None, id="never got there"),
    ],
)
def test_room_follows_the_delay(delay_s, refused, grows) -> None:
    """Short waits make room, long ones take it away, and no news changes nothing."""
    pressure = _pressure(most=100)
    pressure.room = 10.0
    _fill(pressure, 10)

    pressure.ended(1.0, delay_s=delay_s, refused=refused)

    assert grows == (None if pressure.room == 10.0 else pressure.room > 10.0)


def test_one_long_queue_is_answered_once() -> None:
    """All the requests of one queue report its length; room shrinks once for them."""
    clock = Clock()
    pressure = _pressure(clock=clock)
    _fill(pressure, 10)
    rooms = []
    for moment_s in (1.0, 1.01, 1.02, 1.5):
        clock.now_s = moment_s
        pressure.ended(1.0, delay_s=5.0, refused=False)
        rooms.append(pressure.room)

    assert rooms[0] == rooms[1] == rooms[2] > rooms[3]


def test_room_grows_quickly_until_it_hurts_and_carefully_afterwards() -> None:
    """By one a request at first; once a wait was too long, by one a round."""
    pressure = _pressure(most=100)
    pressure.room = 10.0
    grown = []
    for delay_s in (0.0, 9.0, 0.0):
        _fill(pressure, 10 - pressure.in_flight)
        before = pressure.room
        pressure.ended(1.0, delay_s=delay_s, refused=False)
        grown.append(pressure.room - before)

    assert 1.0 == grown[0]
    assert grown[1] < 0 < grown[2] < 0.2


def test_room_never_closes() -> None:
    """However bad it gets, something is let through to find out whether it got better."""
    clock = Clock()
    pressure = _pressure(clock=clock)
    for moment in range(100):
        clock.now_s = float(moment)
        pressure.began()
        pressure.ended(1.0, delay_s=9.0, refused=False)

    assert pressure.admits(Priority.LOW)


def test_room_grows_only_when_it_is_used() -> None:
    """An idle gateway does not learn that it could take everything."""
    pressure = _pressure(most=100)
    pressure.room = 10.0
    pressure.began()

    pressure.ended(1.0, delay_s=0.0, refused=False)

    assert 10.0 == pressure.room
