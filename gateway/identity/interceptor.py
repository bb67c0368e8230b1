"""Lets a call pass only with a caller: the gate before every RPC but health and reflection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc

from gateway.identity.access import RefusedError
from gateway.identity.caller import CALLER
from servicekit import logs, names

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from opentelemetry.trace import Tracer

    from gateway.identity.access import Identity

__all__ = ["Gate"]

# Probes have no credential, and reflection shows no more than the published contract.
_OPEN = ("/grpc.health.v1.Health/", "/grpc.reflection.")


class Gate(grpc.aio.ServerInterceptor):
    """Finds the caller of each call and keeps it in `CALLER` while the call is answered.

    Install it inside `servicekit.interceptors.Around`, which sends the refusal.
    """

    def __init__(self, identity: Identity, tracer: Tracer | None = None) -> None:
        """Ask this identity; a tracer shows how long it takes."""
        self._identity = identity
        self._tracer = tracer
        self._log = logs.get()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Exchange the handler for one that asks who calls first."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or method.startswith(_OPEN):
            return handler
        make = _MAKERS[handler.request_streaming, handler.response_streaming]
        return make(
            self._guarded(handler, method.rsplit("/", 1)[-1]),
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )

    def _guarded(self, handler: Any, rpc: str) -> Callable[[Any, Any], Any]:
        behavior = (
            handler.stream_stream
            or handler.stream_unary
            or handler.unary_stream
            or handler.unary_unary
        )

        def run(request: Any, context: Any) -> Any:
            span = self._tracer.start_span(names.STEP_AUTH) if self._tracer else None
            try:
                caller = self._identity.caller(
                    rpc, dict(context.invocation_metadata() or ()), context.auth_context()
                )
            except RefusedError as refusal:
                if span is not None:
                    span.set_attribute(names.STEP_OUTCOME, "refused")
                self._log.warning("access.refused", rpc=rpc, cause=refusal.cause)
                raise refusal.fault from None
            finally:
                if span is not None:
                    span.end()
            CALLER.set(caller)
            return behavior(request, context)

        return run


_MAKERS: dict[tuple[bool, bool], Callable[..., Any]] = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}
