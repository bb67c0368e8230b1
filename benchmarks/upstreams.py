"""Servers without weights or rules, and the bare pass-through that is the floor of the gateway.

    python -m benchmarks.upstreams inference [PREFILL_MS]
    python -m benchmarks.upstreams guardrails [CHECK_MS]
    python -m benchmarks.upstreams floor GUARDRAILS INFERENCE

Each prints its port and serves until it is terminated. All of them handle raw bytes made
beforehand, so that what is measured is the transport and whatever stands between the servers.
"""

from __future__ import annotations

import asyncio
import hashlib
import sys
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.duration_pb2 import Duration

from vedette.guardrails.v1 import guardrails_pb2 as guard_pb
from vedette.inference.v1 import inference_pb2 as model_pb

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PIECES = tuple(f"word{index} " for index in range(32))
TEXT = "".join(PIECES)
GUARDRAILS = "vedette.guardrails.v1.GuardrailsService"
INFERENCE = "vedette.inference.v1.InferenceService"

_USAGE = model_pb.Usage(input_tokens=8, output_tokens=len(PIECES))
# Nothing waited; a gateway that hears so lets more through.
_TIMINGS = model_pb.Timings(queue=Duration())
_ANSWER = model_pb.GenerateResponse(
    text=TEXT,
    finish_reason=model_pb.FINISH_REASON_STOP,
    usage=_USAGE,
    model="weightless",
    timings=_TIMINGS,
).SerializeToString()
_EVENTS = (
    model_pb.StreamGenerateResponse(
        started=model_pb.Started(model="weightless", input_tokens=8)
    ).SerializeToString(),
    *(
        model_pb.StreamGenerateResponse(
            delta=model_pb.Delta(text=piece, output_tokens=1)
        ).SerializeToString()
        for piece in PIECES
    ),
    model_pb.StreamGenerateResponse(
        final=model_pb.Final(
            finish_reason=model_pb.FINISH_REASON_STOP, usage=_USAGE, timings=_TIMINGS
        )
    ).SerializeToString(),
)
_MODELS = model_pb.ListModelsResponse(
    models=[
        model_pb.Model(name="weightless", context_length=4096, max_new_tokens=1024, is_default=True)
    ]
).SerializeToString()
_POLICIES = guard_pb.ListPoliciesResponse(
    policies=[guard_pb.Policy(name="default", digest="d" * 64, is_default=True)]
).SerializeToString()
_ATTESTATION = guard_pb.Attestation(
    released_chars=len(TEXT),
    scanned_chars=len(TEXT),
    released_sha256=hashlib.sha256(TEXT.encode()).hexdigest(),
    policy_digest="d" * 64,
)
_STARTED = guard_pb.StreamCheckTextResponse(
    started=guard_pb.StreamCheckTextStarted(policy_digest="d" * 64)
).SerializeToString()
_FINAL = guard_pb.StreamCheckTextResponse(
    final=guard_pb.StreamCheckTextFinal(action=guard_pb.ACTION_ALLOW, attestation=_ATTESTATION)
).SerializeToString()
CHECK_ANSWER = guard_pb.CheckTextRequest(
    policy="default",
    direction=guard_pb.DIRECTION_OUTPUT,
    segments=[guard_pb.Segment(role=guard_pb.ROLE_ASSISTANT, text=TEXT)],
).SerializeToString()
CHECK_PROMPT = guard_pb.CheckTextRequest(
    policy="default",
    direction=guard_pb.DIRECTION_INPUT,
    segments=[guard_pb.Segment(role=guard_pb.ROLE_USER, text="Say some words.")],
).SerializeToString()
_CONFIG = guard_pb.StreamCheckTextRequest(
    config=guard_pb.StreamCheckTextConfig(policy="default")
).SerializeToString()


# What the first argument of a server says: how long it thinks before it answers.
_PAUSE_S = float(sys.argv[2]) / 1e3 if sys.argv[2:] and sys.argv[1] != "floor" else 0.0


async def _think() -> None:
    if _PAUSE_S:
        await asyncio.sleep(_PAUSE_S)


async def _check_text(data: bytes, _context: Any) -> bytes:
    await _think()
    request = guard_pb.CheckTextRequest.FromString(data)
    return guard_pb.CheckTextResponse(
        action=guard_pb.ACTION_ALLOW,
        segments=[guard_pb.SegmentResult(text=segment.text) for segment in request.segments],
        policy_digest="d" * 64,
        attestation=_ATTESTATION,
    ).SerializeToString()


async def _stream_check_text(requests: AsyncIterator[bytes], _context: Any) -> AsyncIterator[bytes]:
    async for data in requests:
        request = guard_pb.StreamCheckTextRequest.FromString(data)
        if request.HasField("config"):
            yield _STARTED
        else:
            yield guard_pb.StreamCheckTextResponse(
                release=guard_pb.Release(text=request.text)
            ).SerializeToString()
    yield _FINAL


async def _list_policies(_data: bytes, _context: Any) -> bytes:
    return _POLICIES


async def _generate(_data: bytes, _context: Any) -> bytes:
    await _think()
    return _ANSWER


async def _stream_generate(_data: bytes, _context: Any) -> AsyncIterator[bytes]:
    yield _EVENTS[0]
    await _think()
    for event in _EVENTS[1:]:
        yield event


async def _list_models(_data: bytes, _context: Any) -> bytes:
    return _MODELS


class Floor:
    """The calls that a guarded answer takes, and nothing else."""

    def __init__(self, guardrails: str, inference: str) -> None:
        """Call these two."""
        guard = grpc.aio.insecure_channel(guardrails)
        model = grpc.aio.insecure_channel(inference)
        self._check: Any = guard.unary_unary(f"/{GUARDRAILS}/CheckText")
        self._watch: Any = guard.stream_stream(f"/{GUARDRAILS}/StreamCheckText")
        self._generate: Any = model.unary_unary(f"/{INFERENCE}/Generate")
        self._stream: Any = model.unary_stream(f"/{INFERENCE}/StreamGenerate")

    async def generate(self, data: bytes, _context: Any) -> bytes:
        """Prompt to the guard, request to the model, answer to the guard."""
        await self._check(CHECK_PROMPT, timeout=10)
        answer: bytes = await self._generate(data, timeout=10)
        await self._check(CHECK_ANSWER, timeout=10)
        return answer

    async def stream(self, data: bytes, _context: Any) -> AsyncIterator[bytes]:
        """Prompt to the guard, then every event of the model through the guard's stream."""
        await self._check(CHECK_PROMPT, timeout=10)
        source = self._stream(data, timeout=10)
        await source.read()
        watch = self._watch(timeout=10)
        await watch.write(_CONFIG)
        feeding = asyncio.create_task(_feed(source, watch))
        while (event := await watch.read()) is not grpc.aio.EOF:
            yield event
        await feeding


async def _feed(source: Any, watch: Any) -> None:
    while (event := await source.read()) is not grpc.aio.EOF:
        if event is not _EVENTS[-1]:
            delta = model_pb.StreamGenerateResponse.FromString(event).delta
            await watch.write(guard_pb.StreamCheckTextRequest(text=delta.text).SerializeToString())
    await watch.done_writing()


async def _serve(kind: str, targets: list[str]) -> None:
    server = grpc.aio.server()
    for name, handlers in _services(kind, targets).items():
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await server.wait_for_termination()


def _services(kind: str, targets: list[str]) -> dict[str, dict[str, Any]]:
    unary, stream = grpc.unary_unary_rpc_method_handler, grpc.unary_stream_rpc_method_handler
    match kind:
        case "inference":
            return {
                INFERENCE: {
                    "Generate": unary(_generate),
                    "StreamGenerate": stream(_stream_generate),
                    "ListModels": unary(_list_models),
                }
            }
        case "guardrails":
            return {
                GUARDRAILS: {
                    "CheckText": unary(_check_text),
                    "StreamCheckText": grpc.stream_stream_rpc_method_handler(_stream_check_text),
                    "ListPolicies": unary(_list_policies),
                }
            }
    floor = Floor(*targets)
    return {
        "vedette.gateway.v1.GatewayService": {
            "Generate": unary(floor.generate),
            "StreamGenerate": stream(floor.stream),
        }
    }


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1], sys.argv[2:]))
