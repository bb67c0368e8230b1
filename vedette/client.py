"""The client: a guarded language model behind one address.

async with Client("localhost:50051") as client:
    async for event in client.stream("Why is the sky blue?"):
        if isinstance(event, Delta):
            print(event.text, end="")
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

import grpc

from vedette.answer import AnswerStream, closed, is_task_cancelled
from vedette.attestation import ReceivedText
from vedette.channel import open_channel
from vedette.errors import from_rpc_error
from vedette.gateway.v1 import gateway_pb2 as pb
from vedette.gateway.v1 import gateway_pb2_grpc as stubs
from vedette.prompt import Prompt, SamplingOptions, as_messages, as_sampling
from vedette.tracing import CallContext

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self, Unpack

__all__ = ["Client"]

_Request = TypeVar("_Request")
_Response = TypeVar("_Response")

DEFAULT_TARGET = "127.0.0.1:50051"


class Client:
    """Calls one gateway; safe to share between the tasks of one event loop.

    Every call has a deadline and belongs to a trace: the active OpenTelemetry span's, else a new
    one, whose id the answer and every error carry.
    """

    def __init__(
        self,
        target: str = DEFAULT_TARGET,
        *,
        api_key: str | None = None,
        tls: grpc.ChannelCredentials | None = None,
        deadline_s: float = 60.0,
    ) -> None:
        """Prepare a client; it connects with the first call.

        Args:
            target: a gRPC target: `host:port`, `dns:///name:port`, `unix:/path`.
            api_key: sent as a bearer token with every call.
            tls: from `grpc.ssl_channel_credentials`; without it the connection is plain text.
            deadline_s: how long a call may take when it does not say otherwise.

        Raises:
            ValueError: the deadline is not above 0.
        """
        self.target = target
        self._tls = tls
        self._deadline_s = _above_zero(deadline_s)
        self._credential = (("authorization", f"Bearer {api_key}"),) if api_key else ()
        self._channel: grpc.aio.Channel | None = None
        self._stub: stubs.GatewayServiceAsyncStub | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection; calls that run are cancelled. A later call opens a new one."""
        channel, self._channel, self._stub = self._channel, None, None
        if channel is not None:
            await channel.close()

    async def generate(
        self,
        prompt: Prompt,
        *,
        model: str = "",
        policy: str = "",
        conversation_id: str | None = None,
        deadline_s: float | None = None,
        **sampling: Unpack[SamplingOptions],
    ) -> pb.GenerateResponse:
        """The whole answer at once.

        Raises:
            VedetteError: the call failed.
            AttestationError: the text is not what the service attests.
        """
        request = pb.GenerateRequest(
            model=model,
            messages=as_messages(prompt),
            sampling=as_sampling(sampling),
            policy=policy,
            conversation_id=conversation_id,
        )
        response = await self._unary(self._connected().Generate, request, deadline_s)
        received = ReceivedText()
        received.add(response.text)
        received.verify(response)
        return response

    def stream(
        self,
        prompt: Prompt,
        *,
        model: str = "",
        policy: str = "",
        conversation_id: str | None = None,
        deadline_s: float | None = None,
        **sampling: Unpack[SamplingOptions],
    ) -> AnswerStream:
        """The answer while it is being made, with what the guards find. Must run in a loop."""
        request = pb.StreamGenerateRequest(
            model=model,
            messages=as_messages(prompt),
            sampling=as_sampling(sampling),
            policy=policy,
            conversation_id=conversation_id,
        )
        context = CallContext.current()
        call = self._connected().StreamGenerate(
            request,
            timeout=self._timeout_s(deadline_s),
            metadata=context.metadata + self._credential,
        )
        return AnswerStream(call, trace_id=context.trace_id)

    async def count_tokens(
        self, prompt: Prompt, *, model: str = "", deadline_s: float | None = None
    ) -> pb.CountTokensResponse:
        """How many tokens a prompt takes, chat template included."""
        request = pb.CountTokensRequest(model=model, messages=as_messages(prompt))
        return await self._unary(self._connected().CountTokens, request, deadline_s)

    async def usage(
        self,
        *,
        start_date: str = "",
        end_date: str = "",
        model: str = "",
        deadline_s: float | None = None,
    ) -> pb.GetUsageResponse:
        """What the caller's tenant has consumed; dates are YYYY-MM-DD in UTC, empty for today."""
        request = pb.GetUsageRequest(start_date=start_date, end_date=end_date, model=model)
        return await self._unary(self._connected().GetUsage, request, deadline_s)

    async def decision(self, request_id: str, *, deadline_s: float | None = None) -> pb.Decision:
        """What was decided about an earlier request, and why; never its content."""
        request = pb.GetDecisionRequest(request_id=request_id)
        response = await self._unary(self._connected().GetDecision, request, deadline_s)
        return response.decision

    async def _unary(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[_Request, _Response],
        request: _Request,
        deadline_s: float | None,
    ) -> _Response:
        context = CallContext.current()
        try:
            return await method(
                request,
                timeout=self._timeout_s(deadline_s),
                metadata=context.metadata + self._credential,
            )
        except grpc.aio.AioRpcError as error:
            failure = from_rpc_error(error)
            failure.trace_id = context.trace_id
            raise failure from error
        except asyncio.CancelledError:
            if is_task_cancelled():
                raise
            raise closed(context.trace_id) from None

    def _timeout_s(self, deadline_s: float | None) -> float:
        return self._deadline_s if deadline_s is None else _above_zero(deadline_s)

    def _connected(self) -> stubs.GatewayServiceAsyncStub:
        if self._stub is None:
            self._channel = open_channel(self.target, tls=self._tls)
            self._stub = stubs.GatewayServiceStub(self._channel)
        return self._stub


def _above_zero(deadline_s: float) -> float:
    if deadline_s <= 0:
        raise ValueError(f"deadline_s must be above 0, not {deadline_s}.")
    return deadline_s
