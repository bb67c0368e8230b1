"""Health by named components: a service serves when every part it needs has proven itself.

Components start unhealthy. `grpc.health.v1` is answered for each service by its full name and,
with the empty name, for the process as a whole.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeAlias

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from structlog.stdlib import BoundLogger

    _Context: TypeAlias = grpc.aio.ServicerContext[object, object]
    _Status: TypeAlias = int

__all__ = ["Component", "Health"]

_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Component:
    """One part that the service cannot do without."""

    def __init__(self, name: str, health: Health) -> None:
        """Start unhealthy."""
        self.name = name
        self.healthy = False
        self._health = health

    def set(self, healthy: bool) -> None:  # noqa: FBT001 - the one thing this method is told
        """Say whether the part works; changes are logged once and published at once."""
        if healthy != self.healthy:
            self.healthy = healthy
            self._health.changed(self)


class Health:
    """The health of one process. Belongs to one event loop; call it from there only."""

    def __init__(self, service_names: Iterable[str], log: BoundLogger) -> None:
        """Report NOT_SERVING under every name: nothing is proven yet."""
        self._names = ("", *service_names)
        self._log = log
        self._components: dict[str, Component] = {}
        self._servicer = _Servicer()
        self._published = False
        self._draining = False
        self._report()

    def component(self, name: str) -> Component:
        """Register a part, unhealthy until it says otherwise."""
        if name in self._components:
            raise ValueError(f"health component {name!r} is registered twice")
        component = self._components[name] = Component(name, self)
        return component

    @property
    def serving(self) -> bool:
        """Whether calls are welcome."""
        return (
            self._published
            and not self._draining
            and all(component.healthy for component in self._components.values())
        )

    def register(self, server: grpc.aio.Server) -> None:
        """Answer health calls on this server."""
        health_pb2_grpc.add_HealthServicer_to_server(self._servicer, server)

    def publish(self) -> None:
        """Start-up is complete: from now on the components decide."""
        self._published = True
        self._report()

    def drain(self) -> None:
        """Report NOT_SERVING for good, and let the watchers go."""
        self._draining = True
        self._report()

    def changed(self, component: Component) -> None:
        """A component changed; tell the log and the watchers."""
        state = "healthy" if component.healthy else "unhealthy"
        self._log.info("health.changed", component=component.name, state=state)
        self._report()

    def _report(self) -> None:
        status = _SERVING if self.serving else _NOT_SERVING
        self._servicer.publish(dict.fromkeys(self._names, status), final=self._draining)


class _Servicer(health_pb2_grpc.HealthServicer):  # type: ignore[misc]
    """`grpc.health.v1` over a table of statuses.

    Unlike the library's own it implements `List` (gRFC A90), and its `Watch` ends when the
    process drains, so that a watcher does not hold up the shutdown.
    """

    def __init__(self) -> None:
        self._table: dict[str, _Status] = {}
        self._changed = asyncio.Event()
        self._closed = False

    def publish(self, table: dict[str, _Status], *, final: bool = False) -> None:
        """Replace the table and wake the watchers; after the final table they are let go."""
        self._table = table
        self._closed = self._closed or final
        self._changed.set()
        self._changed = asyncio.Event()

    async def Check(  # noqa: N802 - the contract's name
        self, request: health_pb2.HealthCheckRequest, context: _Context
    ) -> health_pb2.HealthCheckResponse:
        status = self._table.get(request.service)
        if status is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        return health_pb2.HealthCheckResponse(status=status)

    async def Watch(  # noqa: N802 - the contract's name
        self, request: health_pb2.HealthCheckRequest, _context: _Context
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        last: _Status | None = None
        while True:
            changed, closed = self._changed, self._closed
            status = self._table.get(request.service, _UNKNOWN)
            if status != last:
                yield health_pb2.HealthCheckResponse(status=status)
                last = status
            if closed:
                return
            await changed.wait()

    async def List(  # noqa: N802 - the contract's name
        self, _request: health_pb2.HealthListRequest, _context: _Context
    ) -> health_pb2.HealthListResponse:
        return health_pb2.HealthListResponse(
            statuses={
                name: health_pb2.HealthCheckResponse(status=status)
                for name, status in self._table.items()
            }
        )
