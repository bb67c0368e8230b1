"""When news of a request go out."""

from __future__ import annotations

import pytest

from inference.engine.request import FinishReason, Output, Timings
from inference.outbox import Outbox


def token(number, text="x"):
    return Output(request_id=number, text=text, new_tokens=1)


@pytest.fixture
def outbox():
    """Ten messages a second; something has just gone out."""
    ready = Outbox(messages_per_s=10)
    ready.put([token(0)])
    assert [token(0)] == ready.take(0.0)
    return ready


@pytest.mark.parametrize(
    ("streams", "now_s", "expected"),
    [
        pytest.param(1, 0.1, 1, id="one"),
        pytest.param(1, 0.09, 0, id="one-too-soon"),
        pytest.param(5, 0.5, 5, id="five"),
        pytest.param(5, 0.4, 0, id="five-too-soon"),
    ],
)
def test_streams_share_a_rate_of_messages(outbox, streams, now_s, expected):
    """The more of them have news, the longer each waits."""
    outbox.put([token(number) for number in range(streams)])
    assert expected == len(outbox.take(now_s))


def test_what_waits_travels_together(outbox):
    """Tokens of one request become one message, in their order."""
    for letter in "abc":
        outbox.put([token(1, letter)])
        assert [] == outbox.take(0.01)
    (news,) = outbox.take(0.2)
    assert ("abc", 3) == (news.text, news.new_tokens)


def test_first_and_last_news_do_not_wait(outbox):
    """A first token goes at once, and so does an end, with what waited before it."""
    first = Output(request_id=1, text="a", new_tokens=1, timings=Timings(arrived_s=0))
    outbox.put([first, token(2, "b")])
    assert [first] == outbox.take(0.01)
    end = Output(
        request_id=2, finish_reason=FinishReason.STOP, timings=Timings(arrived_s=0, finished_s=1)
    )
    outbox.put([end])
    (last,) = outbox.take(0.02)
    assert ("b", FinishReason.STOP) == (last.text, last.finish_reason)
    assert [] == outbox.take_all()
