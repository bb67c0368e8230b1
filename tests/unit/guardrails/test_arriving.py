"""What a stream does with messages that come after its final event."""

from __future__ import annotations

import asyncio

import pytest

from guardrails.requests.arriving import ignore_rest


class Writer:
    """Sends some messages, then falls silent or hangs up."""

    def __init__(self, messages, *, hangs_up):
        self.left = messages
        self.hangs_up = hangs_up

    def __aiter__(self):
        return self

    async def __anext__(self):
        if not self.left:
            if self.hangs_up:
                raise StopAsyncIteration
            await asyncio.Event().wait()
        self.left -= 1


@pytest.mark.parametrize("hangs_up", [True, False], ids=["hangs up", "falls silent"])
async def test_what_is_still_written_is_read_until_the_caller_stops(hangs_up):
    """A call that ends under a writer reads as an internal error; one that is silent may end."""
    writer = Writer(100, hangs_up=hangs_up)
    await ignore_rest(writer)
    assert writer.left == 0
