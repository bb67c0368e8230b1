"""Two hundred streams at once on the embedded default."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
import psutil
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.e2e.conftest import SERVICES
from vedette import errors
from vedette.gateway.v1 import gateway_pb2
from vedette.inference.v1 import inference_pb2, inference_pb2_grpc

if TYPE_CHECKING:
    from tests.e2e.conftest import Stack

pytestmark = [pytest.mark.model, pytest.mark.slow, pytest.mark.timeout(300)]

STREAMS = 200
# What a stream may take besides its keys and values: its call, its tokens, what nobody read yet.
STREAM_BYTES = 256 * 1024
# What a step may take besides the cache: logits, activations, gathered keys and values.
STEP_BYTES = 256 * 1024 * 1024


@dataclass
class Flood:
    """Streams of a few tokens, all opened at the same time."""

    channel: grpc.aio.Channel
    service: str
    pb: Any

    def open(self, number: int, new_tokens: int) -> Any:
        request = self.pb.StreamGenerateRequest(
            messages=[self.pb.Message(role=self.pb.ROLE_USER, text=f"{number} is a number.")],
            sampling=self.pb.Sampling(max_new_tokens=new_tokens, min_new_tokens=new_tokens),
        )
        call: Any = self.channel.unary_stream(
            f"/{self.service}/StreamGenerate",
            request_serializer=self.pb.StreamGenerateRequest.SerializeToString,
            response_deserializer=self.pb.StreamGenerateResponse.FromString,
        )
        return call(request, timeout=120)

    async def end(self, number: int) -> str:
        """How one stream ended."""
        try:
            async for event in self.open(number, 4):
                if event.HasField("final"):
                    assert 4 == event.final.usage.output_tokens
                    return "answered"
        except grpc.aio.AioRpcError as error:
            problem = errors.from_rpc_error(error)
            assert isinstance(problem, errors.ExhaustedError)
            assert problem.retry_after_s is not None
            return "refused"
        raise AssertionError


@pytest.fixture(scope="module")
def idle_bytes(model_stack: Stack) -> int:
    """Resident memory of inference before the first stream."""
    return _resident(model_stack)


def _resident(stack: Stack) -> int:
    rss: int = psutil.Process(stack.processes["inference"].pid).memory_info().rss
    return rss


@pytest.mark.parametrize(
    ("name", "pb"),
    [
        pytest.param("inference", inference_pb2, id="inference"),
        pytest.param("gateway", gateway_pb2, id="whole-stack"),
    ],
)
async def test_each_is_answered_or_told_to_come_back(
    model_stack: Stack, idle_bytes: int, name: str, pb: Any
) -> None:
    """No stream is lost, memory keeps to its bound, and cancelled streams leave room at once."""
    async with grpc.aio.insecure_channel(model_stack.target("inference")) as channel:
        inference = inference_pb2_grpc.InferenceServiceStub(channel)
        card = (await inference.GetModel(inference_pb2.GetModelRequest())).model
    bound = idle_bytes + card.cache_bytes + STREAMS * STREAM_BYTES + STEP_BYTES
    async with grpc.aio.insecure_channel(model_stack.target(name)) as channel:
        flood = Flood(channel, SERVICES[name], pb)
        ends = Counter(await asyncio.gather(*(flood.end(number) for number in range(STREAMS))))
        after_answers = _resident(model_stack)
        cancelled = [flood.open(number, 2000) for number in range(STREAMS)]
        await asyncio.gather(*(call.read() for call in cancelled[:8]))
        for call in cancelled:
            call.cancel()
        assert "answered" == await flood.end(-1)
        health = health_pb2_grpc.HealthStub(channel)
        answer = await health.Check(health_pb2.HealthCheckRequest(service=SERVICES[name]))
        assert health_pb2.HealthCheckResponse.SERVING == answer.status
    peak = max(after_answers, _resident(model_stack))
    assert {"answered", "refused"} >= set(ends)
    assert ends["answered"] > 0
    assert peak < bound
