"""Who is admitted next."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.engine.queue import FairQueue

# Of so many in a row that leave the queue, at least one is of each class that waits.
SHARE = 10


def sequence(name, *, tenant="", priority=2, tokens=400):
    request = SimpleNamespace(
        tenant=tenant, priority=priority, sampling=SimpleNamespace(max_new_tokens=0)
    )
    return SimpleNamespace(name=name, request=request, tokens=[0] * tokens)


def order(queue):
    names = []
    while queue:
        shown = queue.peek()
        assert shown is queue.pop()
        names.append(shown.name)
    return names


@pytest.mark.parametrize(
    ("arrivals", "expected"),
    [
        pytest.param([("a", "x", 2), ("b", "x", 2), ("c", "x", 2)], "abc", id="one-tenant"),
        pytest.param([("a", "x", 1), ("b", "x", 3), ("c", "x", 2)], "bca", id="priorities"),
        pytest.param([("a", "x", 1), ("b", "y", 1), ("c", "y", 3)], "cab", id="priority-first"),
    ],
)
def test_order_within_and_between_classes(arrivals, expected):
    """The most urgent class first, and the oldest first within a tenant."""
    queue = FairQueue()
    for name, tenant, priority in arrivals:
        queue.push(sequence(name, tenant=tenant, priority=priority))
    assert expected == "".join(order(queue))


def test_a_crowd_delays_another_tenant_by_a_turn_only():
    """Behind a hundred requests of one tenant, another's single request waits for one or two."""
    queue = FairQueue()
    for number in range(100):
        queue.push(sequence(f"crowd {number}", tenant="crowd"))
    queue.push(sequence("single", tenant="other"))
    assert order(queue).index("single") <= 2


def test_long_requests_pay_for_their_length():
    """Over time two tenants get as many tokens, not as many requests."""
    queue = FairQueue()
    for number in range(40):
        queue.push(sequence("long", tenant="long", tokens=1600))
        queue.push(sequence("short", tenant="short", tokens=200))
        queue.push(sequence("short", tenant="short", tokens=200))
        del number
    first = order(queue)[:45]
    long_tokens, short_tokens = 1600 * first.count("long"), 200 * first.count("short")
    assert 0.5 < long_tokens / short_tokens < 2


def test_a_preempted_sequence_goes_before_everyone():
    """It has waited and paid already, whatever its class."""
    queue = FairQueue()
    queue.push(sequence("urgent", priority=3))
    queue.push_back(sequence("preempted", priority=1))
    assert ["preempted", "urgent"] == order(queue)


def test_one_can_leave_from_anywhere():
    """A request that is cancelled while it waits is gone, and the rest keep their order."""
    queue = FairQueue()
    waiting = [sequence(name, tenant=name) for name in "abc"]
    for one in waiting:
        queue.push(one)
    queue.remove(waiting[1])
    assert ["a", "c"] == sorted(order(queue))


def test_the_least_urgent_gets_its_share():
    """However many urgent requests there are, every ninth is not one of them."""
    queue = FairQueue()
    for number in range(40):
        queue.push(sequence(f"urgent {number}", priority=3))
    for number in range(3):
        queue.push(sequence(f"low {number}", priority=1))
    places = [place for place, name in enumerate(order(queue)) if name.startswith("low")]
    assert [8, 17, 26] == places


MOVES = st.lists(
    st.one_of(
        st.tuples(
            st.just("push"), st.sampled_from([1, 2, 3]), st.sampled_from("xyz"), st.integers(1, 900)
        ),
        st.tuples(st.just("pop")),
        st.tuples(st.just("remove"), st.integers(0, 1000)),
    ),
    max_size=200,
)


@settings(max_examples=200, deadline=None)
@given(MOVES)
def test_no_class_is_passed_over_for_long(moves):
    """Whatever comes and goes, a class that waits all the time is served in every SHARE pops."""
    queue, waiting = FairQueue(), []
    passed = dict.fromkeys([1, 2, 3], 0)
    for kind, *arguments in [*moves, *[("pop",)] * len(moves)]:
        if kind == "push":
            priority, tenant, tokens = arguments
            waiting.append(sequence("", tenant=tenant, priority=priority, tokens=tokens))
            queue.push(waiting[-1])
        elif waiting and kind == "remove":
            queue.remove(waiting.pop(arguments[0] % len(waiting)))
        elif waiting:
            taken = queue.pop()
            waiting.remove(taken)
            for level in passed:
                passed[level] += 1
            passed[taken.request.priority] = 0
        for level in passed:
            if all(one.request.priority != level for one in waiting):
                passed[level] = 0
        assert max(passed.values()) < SHARE
        assert len(waiting) == len(queue)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([1, 2, 3]), st.sampled_from("xy")), max_size=60),
    st.sampled_from([1, 2, 3]),
)
def test_no_fewer_leave_before_a_newcomer_than_is_said(arrivals, priority):
    """The count is what is certain: nobody is refused for a queue that would have let it pass."""
    queue = FairQueue()
    for level, tenant in arrivals:
        queue.push(sequence("", tenant=tenant, priority=level))
    newcomer = sequence("new", tenant="x", priority=priority)
    certain = queue.count_before(newcomer.request)
    queue.push(newcomer)
    assert certain <= order(queue).index("new")
