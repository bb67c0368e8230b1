"""What a caller sees when something goes away, itself included."""

from __future__ import annotations

import asyncio
import signal
import time
from typing import TYPE_CHECKING

import pytest

from vedette import Client
from vedette.errors import UnavailableError
from vedette.gateway.v1 import gateway_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.conftest import Stack

# Twenty milliseconds a byte: the answer to this takes several seconds.
LONG_QUESTION = "word " * 60


async def _until(condition: Callable[[], bool], timeout_s: float = 60) -> None:
    end_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end_s, "it did not happen in time"
        await asyncio.sleep(0.02)


def _completed(stack: Stack, service: str, method: str) -> list[str]:
    """The status of each finished call of a method, from the canonical log lines."""
    return [
        line["code"]
        for line in stack.log_lines(service)
        if line["event"] == "rpc.completed" and line["method"].endswith(method)
    ]


async def test_hanging_up_stops_the_engine(own_stack: Stack) -> None:
    """Cancelling midway ends the work in every service, and every span as cancelled."""
    async with Client(own_stack.gateway) as client:
        async with client.stream(LONG_QUESTION, max_new_tokens=400) as stream:
            async for event in stream:
                if isinstance(event, pb.Delta):
                    break
        trace_id = stream.trace_id
        await _until(lambda: bool(_completed(own_stack, "inference", "/StreamGenerate")))
    own_stack.stop_all()

    spans = {
        (span["service"], span["kind"]): {
            a["key"]: a["value"].get("stringValue") for a in span["attributes"]
        }["rpc.status_code"]
        for span in own_stack.spans(trace_id)
        if span["name"].endswith("/StreamGenerate")
    }
    assert {"CANCELLED"} == set(spans.values())
    assert {"gateway", "inference"} == {service for service, _ in spans}
    assert "was never awaited" not in own_stack.exported()
    assert "Task was destroyed" not in own_stack.exported()


async def test_a_killed_guard_ends_the_stream_with_a_clear_error(own_stack: Stack) -> None:
    """SIGKILL midway: an error with a reason, and nothing but the beginning of the answer."""
    received = ""
    async with Client(own_stack.gateway) as client:
        with pytest.raises(UnavailableError) as failure:
            async for event in client.stream(LONG_QUESTION, max_new_tokens=400):
                if isinstance(event, pb.Delta):
                    received += event.text
                    own_stack.stop("guardrails", signal.SIGKILL)

    assert "GUARDRAILS_UNAVAILABLE" == failure.value.reason
    assert LONG_QUESTION.startswith(received)
    assert len(received) < len(LONG_QUESTION) / 2


async def test_a_dead_guard_means_no_answer_until_it_is_back(own_stack: Stack) -> None:
    """Without its guard the gateway answers UNAVAILABLE; when it returns, so do answers."""
    own_stack.stop("guardrails", signal.SIGKILL)
    async with Client(own_stack.gateway) as client:
        with pytest.raises(UnavailableError) as failure:
            await client.generate("hi")
        own_stack.start("guardrails")
        own_stack.wait_serving("guardrails")
        own_stack.wait_serving("gateway")
        answer = await client.generate("hi")

    assert "GUARDRAILS_UNAVAILABLE" == failure.value.reason
    assert "hi" == answer.text


async def test_a_dead_model_is_the_documented_answer(own_stack: Stack) -> None:
    """Without inference the gateway says so, quickly."""
    own_stack.stop("inference", signal.SIGKILL)
    async with Client(own_stack.gateway) as client:
        with pytest.raises(UnavailableError) as failure:
            await client.generate("hi", deadline_s=20)

    assert "INFERENCE_UNAVAILABLE" == failure.value.reason


async def test_a_deadline_gives_what_was_made_in_time(own_stack: Stack) -> None:
    """An answer that the deadline cuts short is checked, attested, and says TIME_LIMIT."""
    async with Client(own_stack.gateway) as client:
        answer = await client.generate(LONG_QUESTION, max_new_tokens=400, deadline_s=5.0)

    assert pb.FINISH_REASON_TIME_LIMIT == answer.finish_reason
    assert LONG_QUESTION.startswith(answer.text)
    assert 0 < len(answer.text) < len(LONG_QUESTION)


async def test_a_running_answer_survives_a_polite_stop(own_stack: Stack) -> None:
    """SIGTERM lets the answers that run finish within the grace."""
    text = ""
    async with Client(own_stack.gateway) as client:
        async for event in client.stream("word " * 20, max_new_tokens=400):
            if isinstance(event, pb.Delta) and not text:
                for process in own_stack.processes.values():
                    process.send_signal(signal.SIGTERM)
            text += event.text if isinstance(event, pb.Delta) else ""

    assert "word " * 20 == text
    assert {0} == {process.wait(30) for process in own_stack.processes.values()}
