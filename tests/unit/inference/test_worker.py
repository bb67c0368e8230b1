"""An engine in its thread."""

# ruff: noqa: ASYNC110 - the state of another thread is polled: nothing tells when it changes

from __future__ import annotations

import asyncio
import threading
from contextlib import aclosing, asynccontextmanager

import pytest

from inference.backends.weightless import WeightlessRunner
from inference.engine.request import FinishReason, Request, Sampling
from inference.worker import BusyError, EngineWorker, RefusedError

TIMEOUT_S = 60


@pytest.fixture
def working(bench):
    """A worker over an engine that recites without end."""

    @asynccontextmanager
    async def run(**fields):
        runner = WeightlessRunner(num_blocks=600, recital=[10] * 4000)
        parts = bench(runner=runner, context_length=4096)
        failures = []
        worker = EngineWorker(
            parts.engine,
            **{"max_requests": 4, "messages_per_s": 1e9, "on_failure": failures.append, **fields},
        )
        worker.start()
        try:
            async with asyncio.timeout(TIMEOUT_S):
                yield worker, parts, failures
        finally:
            await worker.close()

    return run


def request(number, length=2000):
    return Request(id=number, prompt=(259,), sampling=Sampling(max_new_tokens=length))


async def test_news_merge_while_nobody_reads(working):
    """A reader that comes late gets everything, in fewer pieces than there were tokens."""
    async with working() as (worker, _, _):
        late, prompt = worker.submit(request(1, 200)), worker.submit(request(2, 200))
        _ = [output async for output in prompt]
        outputs = [output async for output in late]
        assert 200 == sum(output.new_tokens for output in outputs)
        assert len(outputs) < 200
        assert FinishReason.LENGTH is outputs[-1].finish_reason


async def test_news_travel_together_under_load(working):
    """Where messages are few, nothing is lost and the first token does not wait."""
    async with working(messages_per_s=1e-9) as (worker, _, _):
        answers = [worker.submit(request(number, 300)) for number in range(4)]
        pieces = await asyncio.gather(*(_read(answer) for answer in answers))
        for outputs in pieces:
            assert 300 == sum(output.new_tokens for output in outputs)
            assert "+" * 300 == "".join(output.text for output in outputs)
            assert 1 == outputs[0].new_tokens
            assert len(outputs) <= 3
            assert FinishReason.LENGTH is outputs[-1].finish_reason


async def _read(answer):
    return [output async for output in answer]


async def test_a_reader_that_stops_is_paused_and_goes_on(working):
    """An unread request stops being computed, does not hold up others, and resumes when read."""
    async with working() as (worker, parts, _):
        slow = worker.submit(request(1))
        other = [output async for output in worker.submit(request(2))]
        assert 2000 == sum(output.new_tokens for output in other)
        assert parts.engine._sequences[1].num_generated < 600
        tokens = sum([output.new_tokens async for output in slow])
        assert 2000 == tokens


async def test_a_reader_that_never_comes_back_is_cancelled(working):
    """After the limit a stalled request ends, and its blocks are free."""
    async with working() as (worker, parts, _):
        gone = worker.submit(request(1))
        while not worker._mailboxes[1].is_full:
            await asyncio.sleep(0)
        while worker.num_requests:
            worker.cancel_stalled(0)
            await asyncio.sleep(0.001)
        outputs = [output async for output in gone]
        assert FinishReason.CANCELLED is outputs[-1].finish_reason
        assert parts.blocks.num_available == parts.blocks.num_blocks


async def test_a_closed_answer_stops_the_engine(working):
    """Closing an answer midway aborts its request."""
    async with working() as (worker, parts, _):
        async with aclosing(worker.submit(request(1))) as answer:
            await anext(answer)
        while parts.engine.has_work:
            await asyncio.sleep(0)
        assert 0 == worker.num_requests


async def test_a_cancel_frees_its_place_within_the_running_step(working):
    """No step that begins after the cancel computes the request, and its blocks are free."""
    async with working() as (worker, parts, _):
        inside, leave = threading.Semaphore(0), threading.Semaphore(0)
        forward = parts.runner.forward

        def gated(rows):
            inside.release()
            leave.acquire(timeout=TIMEOUT_S)
            return forward(rows)

        parts.runner.forward = gated
        answer = worker.submit(request(1))
        await asyncio.to_thread(inside.acquire, timeout=TIMEOUT_S)
        await answer.aclose()
        leave.release()
        while parts.engine.has_work:
            await asyncio.sleep(0)
        assert parts.blocks.num_available == parts.blocks.num_blocks
        assert inside.acquire(blocking=False) is False


async def test_a_refusal_reaches_whoever_waits(working):
    """The engine's reason is raised before any news, and the request is forgotten."""
    async with working() as (worker, _, _):
        late = Request(id=1, prompt=(259,), sampling=Sampling(max_new_tokens=9), deadline_s=-1.0)
        async with aclosing(worker.submit(late)) as answer:
            with pytest.raises(RefusedError) as caught:
                await answer.accepted()
        assert caught.value.refusal.retry_after_s is None
        assert 0 == worker.num_requests


async def test_more_requests_than_fit_are_refused(working):
    """The limit counts running and waiting requests together."""
    async with working(max_requests=1) as (worker, _, _):
        async with aclosing(worker.submit(request(1))):
            with pytest.raises(BusyError):
                worker.submit(request(2))
        async with aclosing(worker.submit(request(3, 1))) as answer:
            assert FinishReason.LENGTH is (await anext(answer)).finish_reason


async def test_a_failed_step_is_told_and_the_next_request_works(working):
    """The reader gets an error, the owner gets the cause, the engine goes on."""
    async with working() as (worker, parts, failures):
        forward = parts.runner.forward
        parts.runner.forward = None
        outputs = [output async for output in worker.submit(request(1))]
        assert [FinishReason.ERROR] == [output.finish_reason for output in outputs]
        assert isinstance(failures[0].__cause__, TypeError)
        parts.runner.forward = forward
        outputs = [output async for output in worker.submit(request(2, 3))]
        assert 3 == sum(output.new_tokens for output in outputs)
