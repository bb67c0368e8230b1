"""An answer while it arrives."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeAlias

import grpc

from vedette.attestation import ReceivedText
from vedette.errors import AttestationError, CallCancelledError, InternalError, from_rpc_error
from vedette.gateway.v1 import gateway_pb2 as pb

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

__all__ = ["AnswerStream", "Event", "closed", "is_task_cancelled"]

Event: TypeAlias = pb.Started | pb.Delta | pb.Finding | pb.Final


class AnswerStream:
    """The events of one answer: one Started, any Delta and Finding, one Final.

    The Final is handed out only after the text before it was compared with its attestation.
    Closing the stream before its end cancels the call; so does cancelling the task that reads it.

    Raises while iterating:
        VedetteError: the call failed; the text so far is checked and stands.
        AttestationError: the text so far is not what the service attests; do not use it.
    """

    def __init__(
        self,
        call: grpc.aio.UnaryStreamCall[pb.StreamGenerateRequest, pb.StreamGenerateResponse],
        *,
        trace_id: str,
    ) -> None:
        self.trace_id = trace_id
        self.final: pb.Final | None = None
        self._call = call
        self._received = ReceivedText()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        while True:
            event = await self._next_event()
            if event is not None:
                self._account(event)
                return event

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __del__(self) -> None:
        # A loop left early: nobody can read the rest, so nobody should compute it.
        self._call.cancel()

    async def aclose(self) -> None:
        """Cancel the call unless it has ended."""
        self._call.cancel()

    async def text(self) -> str:
        """Read to the end and return the text that arrives from here on."""
        return "".join([event.text async for event in self if isinstance(event, pb.Delta)])

    async def _next_event(self) -> Event | None:
        """The next event; None for one of a kind that this version does not know."""
        try:
            response = await self._call.read()
        except asyncio.CancelledError:
            # grpc loses a cancel that comes between the sending and the first read.
            self._call.cancel()
            if is_task_cancelled():
                raise
            raise closed(self.trace_id) from None
        except grpc.aio.AioRpcError as error:
            failure = from_rpc_error(error)
            failure.trace_id = self.trace_id
            raise failure from error
        if not isinstance(response, pb.StreamGenerateResponse):  # grpc.aio.EOF
            self._check_complete()
            raise StopAsyncIteration
        kind = response.WhichOneof("event")
        return getattr(response, kind) if kind else None

    def _check_complete(self) -> None:
        if self.final is None:
            raise InternalError(
                "The stream ended without its final event.",
                reason="STREAM_INCOMPLETE",
                trace_id=self.trace_id,
            )

    def _account(self, event: Event) -> None:
        if self.final is not None:
            raise AttestationError(
                "More events came after the final one; nothing attests them.",
                reason="ATTESTATION_MISMATCH",
                trace_id=self.trace_id,
            )
        if isinstance(event, pb.Delta):
            self._received.add(event.text)
        elif isinstance(event, pb.Final):
            self._received.verify(event)
            self.final = event


def is_task_cancelled() -> bool:
    """Whether a CancelledError is for the task that runs, and not for its call alone."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def closed(trace_id: str) -> CallCancelledError:
    """What a call ends with when its client or its stream is closed while it runs."""
    return CallCancelledError("The call was given up on this side.", trace_id=trace_id)
