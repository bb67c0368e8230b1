"""The inference service over gRPC, with a model without weights."""

# ruff: noqa: ASYNC110 - spans and engine state are polled: nothing tells when they change

from __future__ import annotations

import asyncio
import itertools
import json
import re
from typing import ClassVar

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from inference.app import InferenceApp
from vedette.inference.v1 import inference_pb2 as pb

TIMEOUT_S = 60


async def fault(call):
    """The code, the reason and the fields at fault of a call that fails."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    status = rpc_status.from_call(_SyncCall(caught.value))
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    retry = error_details_pb2.RetryInfo()
    for detail in status.details:
        for message in (info, bad, retry):
            detail.Unpack(message)
    assert "vedette" == info.domain
    fields = [violation.field for violation in bad.field_violations]
    return caught.value.code(), info.reason, fields, retry.retry_delay.ToTimedelta()


class _SyncCall:
    def __init__(self, error):
        self._error = error

    def code(self):
        return self._error.code()

    def details(self):
        return self._error.details()

    def trailing_metadata(self):
        return tuple(self._error.trailing_metadata())


async def test_a_stream_starts_grows_and_ends(model, asking):
    """One started, the text in deltas, one final with the account."""
    call = model.StreamGenerate(asking("héllo wörld"), timeout=TIMEOUT_S)
    events = [event async for event in call]
    kinds = [event.WhichOneof("event") for event in events]
    assert ["started", "final"] == [kinds[0], kinds[-1]]
    assert {"delta"} == set(kinds[1:-1])
    assert "héllo wörld" == "".join(event.delta.text for event in events[1:-1])
    final = events[-1].final
    assert pb.FINISH_REASON_STOP == final.finish_reason
    assert events[0].started.input_tokens == final.usage.input_tokens
    assert 14 == final.usage.output_tokens
    assert final.timings.HasField("decode")


async def test_a_whole_answer_equals_the_stream(model, asking):
    """Both calls give the same text, the same tokens and the same end."""
    sampling = pb.Sampling(temperature=1.0, seed=5, logprobs=2, max_new_tokens=8)
    whole = await model.Generate(
        asking("a whole answer", pb.GenerateRequest, sampling=sampling), timeout=TIMEOUT_S
    )
    call = model.StreamGenerate(asking("a whole answer", sampling=sampling), timeout=TIMEOUT_S)
    events = [event async for event in call]
    logprobs = [entry for event in events for entry in event.delta.logprobs]
    assert "".join(event.delta.text for event in events) == whole.text == "a whole "
    assert logprobs == list(whole.logprobs)
    assert events[-1].final.finish_reason == whole.finish_reason == pb.FINISH_REASON_LENGTH


async def test_many_at_once_each_get_their_own(model, asking):
    """Answers do not mix."""
    texts = [f"answer number {number} " * 3 for number in range(40)]
    answers = await asyncio.gather(
        *(model.Generate(asking(text, pb.GenerateRequest), timeout=TIMEOUT_S) for text in texts)
    )
    assert texts == [answer.text for answer in answers]


async def test_tokens_are_counted_as_they_will_be_used(model, asking):
    """The count is the usage of the same prompt."""
    counted = await model.CountTokens(asking("count me", pb.CountTokensRequest))
    answered = await model.Generate(asking("count me", pb.GenerateRequest), timeout=TIMEOUT_S)
    assert answered.usage.input_tokens == counted.input_tokens
    assert ("weightless", 8192) == (counted.model, counted.context_length)


async def test_models_are_listed_and_described(model):
    """The default answers to its name and to none."""
    (listed,) = (await model.ListModels(pb.ListModelsRequest())).models
    assert listed.is_default
    for name in ("", "weightless"):
        assert listed == (await model.GetModel(pb.GetModelRequest(name=name))).model


MESSAGE = pb.Message(role=pb.ROLE_USER, text="hi")
BAD_REQUESTS = [
    pytest.param({"messages": []}, "INVALID_REQUEST", ["messages"], id="no-messages"),
    pytest.param(
        {"messages": [MESSAGE, pb.Message(role=pb.ROLE_USER)]},
        "INVALID_REQUEST",
        ["messages[1].text"],
        id="empty-message",
    ),
    pytest.param(
        {"messages": [pb.Message(role=77, text="hi")]},
        "INVALID_REQUEST",
        ["messages[0].role"],
        id="unknown-role",
    ),
    pytest.param(
        {"sampling": pb.Sampling(temperature=float("nan"), max_new_tokens=0, top_p=-1)},
        "INVALID_REQUEST",
        ["sampling.temperature", "sampling.top_p", "sampling.max_new_tokens"],
        id="numbers",
    ),
    pytest.param(
        {"messages": [pb.Message(role=pb.ROLE_USER, text="x" * 8192)]},
        "PROMPT_TOO_LONG",
        ["messages"],
        id="over-long",
    ),
    pytest.param(
        {"messages": [pb.Message(role=pb.ROLE_USER, text="x" * 10_000_000)]},
        "PROMPT_TOO_LONG",
        ["messages"],
        id="ten-megabytes",
    ),
    pytest.param({"priority": 9}, "INVALID_REQUEST", ["priority"], id="unknown-priority"),
]


@pytest.mark.parametrize(("fields", "reason", "expected"), BAD_REQUESTS)
async def test_bad_input_is_named_and_the_next_request_works(
    model, asking, fields, reason, expected
):
    """Both ways of generating refuse it alike, and nothing is left behind."""
    refused = (grpc.StatusCode.INVALID_ARGUMENT, reason, expected)
    whole = model.Generate(asking("hi", pb.GenerateRequest, **fields), timeout=TIMEOUT_S)
    assert refused == (await fault(whole))[:3]
    stream = model.StreamGenerate(asking("hi", **fields), timeout=TIMEOUT_S)
    assert refused == (await fault(stream.read()))[:3]
    answer = await model.Generate(asking("still there", pb.GenerateRequest), timeout=TIMEOUT_S)
    assert "still there" == answer.text


async def test_an_unknown_model_is_not_found(model, asking):
    """Every call that names a model says so in the same way."""
    expected = (grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND")
    for call in (
        model.Generate(asking("hi", pb.GenerateRequest, model="gpt"), timeout=TIMEOUT_S),
        model.StreamGenerate(asking("hi", model="gpt"), timeout=TIMEOUT_S).read(),
        model.CountTokens(asking("hi", pb.CountTokensRequest, model="gpt"), timeout=TIMEOUT_S),
        model.GetModel(pb.GetModelRequest(name="gpt"), timeout=TIMEOUT_S),
    ):
        assert expected == (await fault(call))[:2]


async def test_the_queue_has_an_end(serve, asking):
    """One request more than fits is refused with a time to come back; the others finish."""
    async with serve(max_running=1, max_waiting=1, weightless_delay_ms=5) as model:
        taken = [model.StreamGenerate(asking(letter * 40), timeout=TIMEOUT_S) for letter in "ab"]
        for call in taken:
            assert "started" == (await call.read()).WhichOneof("event")
        third = model.StreamGenerate(asking("c"), timeout=TIMEOUT_S)
        code, reason, _, retry = await fault(third.read())
        assert (grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL") == (code, reason)
        assert retry.total_seconds() > 0
        assert ["a" * 40, "b" * 40] == [await _drain(call) for call in taken]


async def test_a_request_that_no_deadline_saves_is_refused_at_once(serve, asking):
    """Its least answer needs minutes, its deadline is seconds away: it costs no step."""
    async with serve(weightless_delay_ms=20) as model:
        await model.Generate(asking("learn how slow you are", pb.GenerateRequest))
        sampling = pb.Sampling(min_new_tokens=1900, max_new_tokens=2000)
        for call in (
            model.Generate(asking("hi", pb.GenerateRequest, sampling=sampling), timeout=10),
            model.StreamGenerate(asking("hi", sampling=sampling), timeout=10).read(),
        ):
            code, reason, *_ = await fault(call)
            assert (grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_TOO_SHORT") == (code, reason)


async def test_a_queue_too_long_for_a_deadline_refuses_with_a_time_to_come_back(serve, asking):
    """With a hundred answers ahead, each a tenth of a second long, three seconds are too few."""
    async with serve(max_running=1, weightless_delay_ms=20) as model:
        crowd = [
            asyncio.ensure_future(model.Generate(asking("abcde", pb.GenerateRequest), timeout=60))
            for _ in range(100)
        ]
        ended, _ = await asyncio.wait(crowd, return_when=asyncio.FIRST_COMPLETED)
        while len(ended) < 8:
            more, _ = await asyncio.wait(
                set(crowd) - ended, return_when=asyncio.FIRST_COMPLETED, timeout=TIMEOUT_S
            )
            ended |= more
        late = model.StreamGenerate(asking("late"), timeout=3)
        code, reason, _, retry = await fault(late.read())
        assert (grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_TOO_LONG") == (code, reason)
        assert retry.total_seconds() > 0
        for call in crowd:
            call.cancel()


async def _drain(call):
    text = ""
    while (event := await call.read()) is not grpc.aio.EOF:
        text += event.delta.text
    return text


async def test_a_deadline_ends_the_answer_with_what_was_made(serve, asking):
    """Shortly before the caller's deadline the stream ends by itself, with a final event."""
    async with serve(weightless_delay_ms=20) as model:
        call = model.StreamGenerate(asking("x" * 1000), timeout=4)
        events = [event async for event in call]
        assert pb.FINISH_REASON_TIME_LIMIT == events[-1].final.finish_reason
        assert 0 < events[-1].final.usage.output_tokens < 1000


class Watched(InferenceApp):
    """An app whose parts a test can look at."""

    instances: ClassVar[list[InferenceApp]] = []

    def __init__(self, settings, kit):
        super().__init__(settings, kit)
        Watched.instances.append(self)


async def test_a_caller_that_hangs_up_stops_the_engine(serve, asking, tmp_path):
    """After a cancel the engine has nothing to do, and the spans tell what was cut short."""
    async with serve(Watched, weightless_delay_ms=5) as model:
        call = model.StreamGenerate(asking("x" * 1000), timeout=TIMEOUT_S)
        async for event in call:
            if event.WhichOneof("event") == "delta":
                call.cancel()
                break
        worker = Watched.instances[-1]._catalogue.get("").worker
        async with asyncio.timeout(TIMEOUT_S):
            while worker.num_requests or worker._engine.has_work:
                await asyncio.sleep(0)
        answer = await model.Generate(asking("next", pb.GenerateRequest), timeout=TIMEOUT_S)
        assert "next" == answer.text
    cancelled = [span for span in _spans(tmp_path) if span["name"].endswith("StreamGenerate")]
    assert ["cancelled"] == [event["name"] for event in cancelled[0]["events"]]


async def test_a_trace_shows_queue_prefill_and_decode(model, asking, tmp_path):
    """The phases are children of the call's span, one after another inside it."""
    await model.Generate(asking("a secret that stays inside", pb.GenerateRequest))
    await asyncio.sleep(0)
    async with asyncio.timeout(TIMEOUT_S):
        while len(spans := _spans(tmp_path)) < 4:
            await asyncio.sleep(0.05)
    rpc = next(span for span in spans if span["name"].endswith("Generate"))
    phases = sorted(
        (span for span in spans if span.get("parentSpanId") == rpc["spanId"]),
        key=lambda span: int(span["startTimeUnixNano"]),
    )
    assert ["queue", "prefill", "decode"] == [span["name"] for span in phases]
    for earlier, later in itertools.pairwise(phases):
        assert earlier["endTimeUnixNano"] == later["startTimeUnixNano"]
    assert "secret" not in json.dumps(spans)


def _spans(folder):
    return [
        span
        for file in (folder / "traces").glob("*")
        for line in file.read_text().splitlines()
        for resource in json.loads(line)["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]


async def test_a_given_text_can_be_recited(serve, asking):
    """The weightless model says what it was told to, whatever is asked."""
    async with serve(weightless_text="<|end|> is a word") as model:
        answer = await model.Generate(asking("hi", pb.GenerateRequest), timeout=TIMEOUT_S)
        assert "<|end|> is a word" == answer.text


@pytest.mark.parametrize(
    ("constraint", "expected"),
    [
        pytest.param({"regex": "[0-9]{3}"}, r"[0-9]{3}", id="regex"),
        pytest.param(
            {"json_schema": '{"enum": ["yes", "no"]}'}, r"\s*\"(yes|no)\"\s*", id="json-schema"
        ),
        pytest.param({"grammar": 'start: "ab" | "cd"'}, "ab|cd", id="grammar"),
    ],
)
async def test_answers_conform_to_their_constraint(model, asking, constraint, expected):
    """Whatever the model would like to say, the whole answer matches, and then it stops."""
    sampling = pb.Sampling(temperature=1.0, seed=1, **constraint)
    answer = await model.Generate(
        asking("do as you like", pb.GenerateRequest, sampling=sampling), timeout=TIMEOUT_S
    )
    assert re.fullmatch(expected, answer.text)
    assert pb.FINISH_REASON_STOP == answer.finish_reason


@pytest.mark.parametrize(
    ("field", "text"),
    [
        pytest.param("regex", "(", id="regex"),
        pytest.param("json_schema", "{", id="not-json"),
        pytest.param("json_schema", '{"type": 7}', id="no-schema"),
        pytest.param("grammar", "nonsense", id="grammar"),
    ],
)
async def test_a_constraint_that_is_none_is_named(model, asking, field, text):
    """A malformed constraint is the caller's mistake."""
    sampling = pb.Sampling(**{field: text})
    call = model.Generate(asking("hi", pb.GenerateRequest, sampling=sampling), timeout=TIMEOUT_S)
    assert (grpc.StatusCode.INVALID_ARGUMENT, [f"sampling.{field}"]) == (await fault(call))[0::2][
        :2
    ]


async def test_two_hundred_at_once_are_answered_or_told_to_come_back(serve, asking):
    """Every stream of a flood ends with its whole answer or with a time to come back."""
    async with serve(max_running=16, max_waiting=64) as model:

        async def ask(number):
            text = f"stream number {number}"
            try:
                answer = await model.Generate(asking(text, pb.GenerateRequest), timeout=TIMEOUT_S)
            except grpc.aio.AioRpcError as error:
                return error.code()
            assert text == answer.text
            return "answered"

        ends = await asyncio.gather(*(ask(number) for number in range(200)))
        assert ends.count("answered") >= 80
        assert {"answered", grpc.StatusCode.RESOURCE_EXHAUSTED} >= set(ends)
        answer = await model.Generate(asking("after", pb.GenerateRequest), timeout=TIMEOUT_S)
        assert "after" == answer.text
