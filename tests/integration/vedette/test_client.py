"""The client against real servers."""

from __future__ import annotations

import asyncio
import gc
import weakref

import grpc
import pytest
from grpc_status import rpc_status

import servicekit.errors
from vedette import (
    AttestationError,
    CallCancelledError,
    Client,
    DeadlineExceededError,
    Delta,
    Final,
    FinishReason,
    InternalError,
    Started,
    UnavailableError,
    VedetteError,
    user,
)
from vedette.gateway.v1 import gateway_pb2 as pb
from vedette.gateway.v1 import gateway_pb2_grpc as stubs


class Scripted(stubs.GatewayServiceServicer):
    """Streams the events it was given, and keeps what it was asked."""

    def __init__(self, *events):
        self.events = events
        self.metadata = {}
        self.request = None

    async def StreamGenerate(self, request, context):
        self.request, self.metadata = request, dict(context.invocation_metadata())
        self.remaining_s = context.time_remaining()
        for event in self.events:
            yield event


class Endless(stubs.GatewayServiceServicer):
    """Streams until the call is cancelled."""

    def __init__(self):
        self.streaming = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def StreamGenerate(self, request, context):
        try:
            while True:
                yield delta("more ")
                self.streaming.set()
                await asyncio.sleep(0)
        finally:
            self.cancelled.set()


class Failing(stubs.GatewayServiceServicer):
    """Fails every call with one fault."""

    def __init__(self, fault):
        self.fault = fault

    async def Generate(self, request, context):
        await context.abort_with_status(rpc_status.to_status(self.fault.to_status()))

    async def StreamGenerate(self, request, context):
        yield delta("checked ")
        await context.abort_with_status(rpc_status.to_status(self.fault.to_status()))


def started():
    return pb.StreamGenerateResponse(started={"request_id": "r1"})


def delta(text):
    return pb.StreamGenerateResponse(delta={"text": text})


def final(attestation, **changes):
    return pb.StreamGenerateResponse(
        final=pb.Final(
            finish_reason=FinishReason.FINISH_REASON_STOP, attestation=attestation, **changes
        )
    )


async def test_a_stream_is_typed_events_ending_in_final(serving, attest):
    """A streamed answer arrives as started, deltas and final, in order."""
    servicer = Scripted(started(), delta("Hé"), delta("llo"), final(attest("Héllo")))
    async with serving(servicer) as client:
        events = [event async for event in client.stream("Hi", max_new_tokens=3, stop=["x"])]
    assert [type(event) for event in events] == [Started, Delta, Delta, Final]
    assert servicer.request == pb.StreamGenerateRequest(
        messages=[user("Hi")], sampling=pb.Sampling(max_new_tokens=3, stop=["x"])
    )


async def test_events_of_a_kind_unknown_here_are_skipped(serving, attest):
    """A newer server may send events that this client does not know."""
    servicer = Scripted(started(), pb.StreamGenerateResponse(), final(attest("")))
    async with serving(servicer) as client:
        assert [type(event) async for event in client.stream("Hi")] == [Started, Final]


async def test_text_reads_to_the_end(serving, attest):
    """Who wants only the text gets it, verified."""
    servicer = Scripted(started(), delta("a"), delta("b"), final(attest("ab")))
    async with serving(servicer) as client:
        stream = client.stream("Hi")
        assert (await stream.text(), stream.final.finish_reason) == (
            "ab",
            FinishReason.FINISH_REASON_STOP,
        )


async def test_a_call_carries_deadline_trace_and_credential(serving, attest):
    """Every call has a deadline, a W3C trace and the API key."""
    servicer = Scripted(final(attest("")))
    async with serving(servicer) as client, Client(client.target, api_key="k") as other:
        stream = other.stream("Hi", deadline_s=7)
        await stream.text()
    assert stream.trace_id in servicer.metadata["traceparent"]
    assert servicer.metadata["authorization"] == "Bearer k"
    assert servicer.remaining_s == pytest.approx(7, abs=1)


TAMPERED = {
    "a character is missing": (["Hell"], {}),
    "a character was swapped": (["HellO"], {}),
    "a character was added": (["Hello", "!"], {}),
    "nothing arrived": ([], {}),
    "the count is wrong": (["Hello"], {"released_chars": 4}),
    "the hash is wrong": (["Hello"], {"released_sha256": "0" * 64}),
}


@pytest.mark.parametrize(("pieces", "changes"), TAMPERED.values(), ids=TAMPERED.keys())
async def test_text_that_is_not_attested_is_an_error(serving, attest, pieces, changes):
    """The final event is not handed out when the text before it is not what it attests."""
    events = [*map(delta, pieces), final(attest("Hello", **changes))]
    async with serving(Scripted(*events)) as client:
        with pytest.raises(AttestationError) as raised:
            await client.stream("Hi").text()
    assert raised.value.reason == "ATTESTATION_MISMATCH"


async def test_an_answer_without_attestation_is_an_error(serving):
    """Nothing says that the text of such an answer was scanned."""
    async with serving(Scripted(delta("Hello"), final(None))) as client:
        with pytest.raises(AttestationError) as raised:
            await client.stream("Hi").text()
    assert raised.value.reason == "ATTESTATION_MISSING"


async def test_text_after_the_final_event_is_an_error(serving, attest):
    """Nothing attests what comes after the end."""
    async with serving(Scripted(final(attest("")), delta("late"))) as client:
        with pytest.raises(AttestationError):
            await client.stream("Hi").text()


async def test_a_stream_without_final_event_is_an_error(serving):
    """An answer that just stops is not mistaken for a whole one."""
    async with serving(Scripted(started(), delta("Half an ans"))) as client:
        with pytest.raises(InternalError) as raised:
            await client.stream("Hi").text()
    assert raised.value.reason == "STREAM_INCOMPLETE"


async def test_unary_text_is_verified_too(serving, attest):
    """Generate compares its text with the attestation as the stream does."""

    class Forged(stubs.GatewayServiceServicer):
        async def Generate(self, request, context):
            return pb.GenerateResponse(text="Hello", attestation=attest(request.messages[0].text))

    async with serving(Forged()) as client:
        assert (await client.generate("Hello")).text == "Hello"
        with pytest.raises(AttestationError):
            await client.generate("Something else")


FAULTS = {
    fault_type.__name__: fault_type
    for fault_type in servicekit.errors.Fault.__subclasses__()
    if fault_type is not servicekit.errors.InvalidArgument
}


@pytest.mark.parametrize("fault_type", FAULTS.values(), ids=FAULTS.keys())
async def test_what_a_service_raises_is_what_a_caller_catches(serving, fault_type):
    """Code, reason, text and delay of every fault survive the wire, in both kinds of call."""
    fault = fault_type(reason="SOME_REASON", message="Fixed text.", retry_after_s=1.5)
    async with serving(Failing(fault)) as client:
        stream = client.stream("Hi")
        with pytest.raises(VedetteError) as from_unary:
            await client.generate("Hi")
        with pytest.raises(VedetteError) as from_stream:
            await stream.text()
    for error in (from_unary.value, from_stream.value):
        assert (error.code, error.reason, error.message, error.retry_after_s) == (
            fault.code,
            "SOME_REASON",
            "Fixed text.",
            1.5,
        )
    assert from_stream.value.trace_id == stream.trace_id


async def test_field_violations_survive_the_wire(serving):
    """A caller learns which field broke which rule."""
    fault = servicekit.errors.InvalidArgument(
        [servicekit.errors.Violation("messages[0].text", "Must not be empty.")]
    )
    async with serving(Failing(fault)) as client:
        with pytest.raises(VedetteError) as raised:
            await client.generate("")
    assert [(v.field, v.description) for v in raised.value.violations] == [
        ("messages[0].text", "Must not be empty.")
    ]


async def test_a_deadline_ends_a_stream(serving):
    """A call that takes longer than its deadline fails as such."""
    async with serving(Endless()) as client:
        with pytest.raises(DeadlineExceededError):
            await client.stream("Hi", deadline_s=0.2).text()


class Counting(stubs.GatewayServiceServicer):
    """Counts the streams that run."""

    def __init__(self):
        self.running = 0
        self.changed = asyncio.Condition()

    async def StreamGenerate(self, _request, _context):
        await self._add(1)
        try:
            yield pb.StreamGenerateResponse(started=pb.Started())
            await asyncio.Event().wait()
        finally:
            await asyncio.shield(self._add(-1))

    async def _add(self, change):
        async with self.changed:
            self.running += change
            self.changed.notify_all()


async def test_a_cancel_is_not_lost_whenever_it_comes(serving):
    """Readers cancelled at any moment of their first read leave no stream running."""
    servicer = Counting()
    async with serving(servicer) as client:
        kept = []  # a stream that is dropped is cancelled by that; these are not
        for turns in range(200):
            stream = client.stream("hello")
            reading = asyncio.create_task(anext(stream))
            for _ in range(1 + turns % 20):
                await asyncio.sleep(0)
            reading.cancel()
            await asyncio.wait({reading})
            if reading.cancelled():
                kept.append(stream)
            else:
                await stream.aclose()  # its first event was faster
        async with asyncio.timeout(60), servicer.changed:
            await servicer.changed.wait_for(lambda: servicer.running == 0)

    assert kept


async def test_closing_a_stream_cancels_the_call(serving):
    """The server learns that nobody reads any more."""
    servicer = Endless()
    async with serving(servicer) as client:
        async with client.stream("Hi") as stream:
            await anext(stream)
        await asyncio.wait_for(servicer.cancelled.wait(), 60)


async def test_dropping_a_stream_cancels_the_call(serving):
    """Leaving a loop early, without closing anything, stops the server as well."""
    servicer = Endless()
    async with serving(servicer) as client:
        stream = client.stream("Hi")
        async for _ in stream:
            break
        gone = weakref.ref(stream)
        del stream
        gc.collect()
        assert gone() is None
        await asyncio.wait_for(servicer.cancelled.wait(), 60)


async def test_cancelling_the_reading_task_cancels_the_call(serving):
    """A task that is cancelled while it reads ends as cancelled, and so does its call."""
    servicer = Endless()
    async with serving(servicer) as client:
        reading = asyncio.create_task(client.stream("Hi").text())
        await asyncio.wait_for(servicer.streaming.wait(), 60)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        await asyncio.wait_for(servicer.cancelled.wait(), 60)


async def test_nobody_listening_is_unavailable(free_port):
    """A gateway that is not there is an UnavailableError without a service's reason."""
    async with Client(f"127.0.0.1:{free_port}") as client:
        with pytest.raises(UnavailableError) as raised:
            await client.generate("Hi")
    assert raised.value.reason == ""


async def test_a_read_is_retried_once_the_server_is_back(serving):
    """Counting tokens changes nothing, so a moment's outage does not show."""

    class Flaky(stubs.GatewayServiceServicer):
        calls = 0

        async def CountTokens(self, request, context):
            self.calls += 1
            if self.calls == 1:
                await context.abort(grpc.StatusCode.UNAVAILABLE, "Not yet.")
            return pb.CountTokensResponse(input_tokens=3)

    async with serving(Flaky()) as client:
        assert (await client.count_tokens("Hi")).input_tokens == 3


async def test_generating_is_never_repeated(serving):
    """An answer costs tokens: a failure is reported, not retried."""

    class Down(stubs.GatewayServiceServicer):
        calls = 0

        async def Generate(self, request, context):
            self.calls += 1
            await context.abort(grpc.StatusCode.UNAVAILABLE, "Not now.")

    servicer = Down()
    async with serving(servicer) as client:
        with pytest.raises(UnavailableError):
            await client.generate("Hi")
    assert servicer.calls == 1


async def test_usage_and_decision_reach_the_gateway(serving):
    """The two reports are one call each."""

    class Books(stubs.GatewayServiceServicer):
        async def GetUsage(self, request, context):
            return pb.GetUsageResponse(rows=[{"date": request.start_date, "requests": 2}])

        async def GetDecision(self, request, context):
            return pb.GetDecisionResponse(decision={"request_id": request.request_id})

    async with serving(Books()) as client:
        assert (await client.usage(start_date="2026-11-21")).rows[0].requests == 2
        assert (await client.decision("r1")).request_id == "r1"


def test_a_deadline_has_to_be_positive():
    """A client without deadlines cannot be made."""
    with pytest.raises(ValueError, match="deadline_s must be above 0"):
        Client(deadline_s=0)


class Slow(stubs.GatewayServiceServicer):
    """Begins an answer and never ends it."""

    def __init__(self):
        self.asked = asyncio.Event()

    async def Generate(self, request, context):
        self.asked.set()
        await asyncio.Event().wait()

    async def StreamGenerate(self, request, context):
        self.asked.set()
        yield started()
        await asyncio.Event().wait()


CALLS = {
    "unary": lambda client: client.generate("Hi"),
    "streamed": lambda client: client.stream("Hi").text(),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
async def test_closing_the_client_ends_its_calls_as_an_error(serving, call):
    """Whoever waits for an answer hears of it, and is not cancelled for it."""
    servicer = Slow()
    async with serving(servicer) as client:
        waiting = asyncio.create_task(call(client))
        await servicer.asked.wait()
        await client.close()
        with pytest.raises(CallCancelledError) as raised:
            await asyncio.wait_for(waiting, 60)
    assert len(raised.value.trace_id) == 32


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
async def test_cancelling_a_task_stays_a_cancellation(serving, call):
    """A task that is cancelled while it waits ends as cancelled."""
    servicer = Slow()
    async with serving(servicer) as client:
        waiting = asyncio.create_task(call(client))
        await servicer.asked.wait()
        waiting.cancel()
        await asyncio.wait({waiting}, timeout=60)
    assert waiting.cancelled()


@pytest.mark.parametrize("deadline_s", [0, -1])
async def test_a_deadline_is_above_zero(serving, deadline_s):
    """None is the client's own; a number that leaves no time is a mistake."""
    async with serving(Slow()) as client:
        with pytest.raises(ValueError, match="deadline_s must be above 0"):
            await client.generate("Hi", deadline_s=deadline_s)
