"""Whatever is wrong with a request, the answer names the field, and the next request works."""

from __future__ import annotations

import math

import grpc
import pytest

from vedette.errors import from_rpc_error
from vedette.gateway.v1 import gateway_pb2 as pb
from vedette.gateway.v1 import gateway_pb2_grpc

HI = {"messages": [{"role": pb.ROLE_USER, "text": "hi"}]}
INVALID = grpc.StatusCode.INVALID_ARGUMENT
NOT_FOUND = grpc.StatusCode.NOT_FOUND


def _sampling(**fields) -> dict:
    return HI | {"sampling": fields}


CASES = [
    pytest.param({}, INVALID, "messages", id="no messages"),
    pytest.param(
        {"messages": [{"role": pb.ROLE_USER}]}, INVALID, "messages[0].text", id="empty text"
    ),
    pytest.param({"messages": [{"text": "hi"}]}, INVALID, "messages[0].role", id="role not set"),
    pytest.param(
        {"messages": [{"role": 42, "text": "hi"}]}, INVALID, "messages[0].role", id="role unknown"
    ),
    pytest.param(HI | {"model": "gpt-9"}, NOT_FOUND, "model", id="unknown model"),
    pytest.param(HI | {"policy": "nope"}, NOT_FOUND, "policy", id="unknown policy"),
    pytest.param(
        {"messages": [{"role": pb.ROLE_USER, "text": "word " * 60_000}]},
        INVALID,
        "messages",
        id="prompt longer than the context",
    ),
    pytest.param(
        {"messages": [{"role": pb.ROLE_USER, "text": "x" * 10_000_000}]},
        INVALID,
        "messages[0].text",
        id="ten megabytes",
    ),
    *(
        pytest.param(_sampling(**{name: value}), INVALID, f"sampling.{name}", id=f"{name}={value}")
        for name, value in [
            ("max_new_tokens", 0),
            ("max_new_tokens", -1),
            ("temperature", -0.1),
            ("temperature", math.nan),
            ("temperature", math.inf),
            ("top_p", 0.0),
            ("top_p", 1.5),
            ("top_p", math.nan),
            ("top_k", 0),
            ("top_k", -5),
            ("min_p", -0.5),
            ("min_p", math.nan),
            ("repetition_penalty", 0.0),
            ("repetition_penalty", math.nan),
            ("presence_penalty", 9.0),
            ("frequency_penalty", -math.inf),
            ("logprobs", -1),
        ]
    ),
    pytest.param(_sampling(stop=[""]), INVALID, "sampling.stop[0]", id="empty stop string"),
]


@pytest.mark.parametrize(("fields", "code", "field"), CASES)
@pytest.mark.parametrize("method", ["Generate", "StreamGenerate"])
async def test_a_bad_request_names_its_field(stack, fields, code, field, method) -> None:
    """Both RPCs give the same status, one ErrorInfo and a BadRequest that names the field."""
    request = {"Generate": pb.GenerateRequest, "StreamGenerate": pb.StreamGenerateRequest}[method]
    async with grpc.aio.insecure_channel(stack.gateway) as channel:
        stub = gateway_pb2_grpc.GatewayServiceStub(channel)
        call = getattr(stub, method)(request(**fields), timeout=30)
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await (call if method == "Generate" else call.read())
        error = from_rpc_error(failure.value)
        answer = await stub.Generate(pb.GenerateRequest(**HI), timeout=30)

    assert code is error.code
    assert error.reason
    assert any(violation.field.startswith(field) for violation in error.violations)
    assert "hi" == answer.text


async def test_invalid_utf8_names_its_field(stack) -> None:
    """Bytes that are not text are the caller's mistake, and the answer says where."""
    message = bytes([0x08, pb.ROLE_USER, 0x12, 2, 0xC3, 0x28])
    request = bytes([0x12, len(message)]) + message
    async with grpc.aio.insecure_channel(stack.gateway) as channel:
        generate = channel.unary_unary("/vedette.gateway.v1.GatewayService/Generate")
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await generate(request, timeout=10)

    error = from_rpc_error(failure.value)
    assert INVALID is error.code
    assert ["messages[0].text"] == [violation.field for violation in error.violations]
