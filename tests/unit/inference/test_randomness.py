"""Random numbers by counting."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from inference.engine.randomness import uniform


@given(st.integers(-(2**63), 2**63 - 1), st.integers(0, 10**6))
def test_numbers_lie_in_the_unit_interval_and_repeat(seed, position):
    """The same seed and position give the same number, from 0 to below 1."""
    assert 0 <= uniform(seed, position) < 1
    assert uniform(seed, position) == uniform(seed, position)


def test_numbers_spread_evenly():
    """Each tenth of the interval gets about a tenth of the numbers, over seeds and positions."""
    for numbers in (
        [uniform(7, position) for position in range(10_000)],
        [uniform(seed, 0) for seed in range(10_000)],
    ):
        counts = [sum(tenth <= 10 * x < tenth + 1 for x in numbers) for tenth in range(10)]
        assert all(900 < count < 1100 for count in counts)
