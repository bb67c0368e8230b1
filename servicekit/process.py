"""The life of a service process.

Settings, logs, telemetry, the port, the application's start, health; then, at SIGTERM or SIGINT:
NOT_SERVING, a pause for balancers to notice, no new calls, running calls finish within the grace,
the rest is cancelled, the application closes, the last spans are written. A second signal leaves
at once.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

import grpc
import uvloop
from google.protobuf import descriptor_pool, message_factory
from grpc_reflection.v1alpha import reflection

from servicekit import logs
from servicekit.credentials import server_credentials
from servicekit.health import Health
from servicekit.interceptors import Around
from servicekit.metrics import MetricsAddressError
from servicekit.settings import ServiceSettings, SettingsError
from servicekit.telemetry import Telemetry

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from opentelemetry.metrics import Meter
    from opentelemetry.trace import Tracer
    from structlog.stdlib import BoundLogger

__all__ = ["App", "Kit", "Process", "StartupError", "main"]

SettingsT = TypeVar("SettingsT", bound=ServiceSettings)

EXIT_STARTUP_FAILED = 1
EXIT_WRONG_SETTINGS = 2


class StartupError(Exception):
    """The service cannot start; the text tells the operator why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kit:
    """What a process gives its application."""

    health: Health
    tracer: Tracer
    meter: Meter
    log: BoundLogger


class App(Protocol):
    """One service: the composition root behind a process."""

    service_names: ClassVar[tuple[str, ...]]

    def __init__(self, settings: Any, kit: Kit) -> None:
        """Put the parts together; nothing slow and nothing that can fail happens here."""

    def register(self, server: grpc.aio.Server) -> None:
        """Add the servicers; called once, before the port opens."""

    async def start(self) -> None:
        """Get ready: load, connect, prove each health component. The port is open already.

        Raises:
            StartupError: if the service cannot run here.
        """

    async def close(self) -> None:
        """Let go of everything; no call is running any more."""


def main(settings_type: type[SettingsT], app: type[App]) -> int:
    """Run a service until a signal; returns the exit code of the process."""
    try:
        settings = settings_type.load()
    except SettingsError as error:
        print(error, file=sys.stderr)  # noqa: T201 - the log is not configured without settings
        return EXIT_WRONG_SETTINGS
    name = settings_type.prefix().removeprefix("VEDETTE_").strip("_").lower()
    logs.configure(service=name, level=settings.log_level)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_run(name, settings, app))
    except StartupError as error:
        logs.get().error("process.refused", problem=str(error))
        return EXIT_STARTUP_FAILED
    return 0


async def _run(name: str, settings: SettingsT, app: type[App]) -> None:
    process = Process(name, settings, app)
    # Asyncio keeps a list of running generators, to close them when the loop ends. Ours are closed
    # by whoever opened them, and each call makes some ten.
    sys.set_asyncgen_hooks(firstiter=None)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, process.request_stop, number)
    try:
        await process.start()
        # What was made until now stays; a full collection that looks through all of it every few
        # hundred calls holds one of them up for tens of milliseconds.
        gc.collect()
        gc.freeze()
        await process.stop_requested.wait()
    finally:
        await process.stop()


class Process:
    """A server with its application, started and stopped in the right order.

    `start` opens the port, then readies the application, then reports SERVING.
    """

    def __init__(self, name: str, settings: SettingsT, app: type[App]) -> None:
        """Build everything; open nothing.

        Raises:
            StartupError: if the folder for span files cannot be written, or the address for
                metrics cannot be opened.
        """
        self.settings = settings
        self.stop_requested = asyncio.Event()
        self.port = 0
        self._log = logs.get()
        self._telemetry = _telemetry(name, settings)
        self._health = Health(app.service_names, self._log)
        kit = Kit(
            health=self._health,
            tracer=self._telemetry.tracer,
            meter=self._telemetry.meter,
            log=self._log,
        )
        self._app = app(settings, kit)
        self._server = grpc.aio.server(
            interceptors=[
                Around(
                    kit.tracer,
                    meter=kit.meter,
                    request_types=_request_types(app.service_names),
                    debug_requests=settings.debug_requests,
                ),
                # What an application puts between the shield and its servicers.
                *getattr(self._app, "interceptors", ()),
            ],
            options=_server_options(settings),
        )
        self._app.register(self._server)
        self._health.register(self._server)
        reflection.enable_server_reflection(
            (*app.service_names, "grpc.health.v1.Health", reflection.SERVICE_NAME), self._server
        )

    async def start(self) -> None:
        """Open the port, ready the application, report SERVING.

        Raises:
            StartupError: with what the operator should do.
        """
        self.port = self._bind()
        await self._server.start()
        self._log.info("process.listening", address=self.settings.address, port=self.port)
        await self._start_app()
        if not self.stop_requested.is_set():
            self._health.publish()
            self._log.info("process.ready", address=self.settings.address, port=self.port)

    async def stop(self) -> None:
        """Drain and close; calling it on a process that never started is harmless."""
        self._health.drain()
        self._log.info("process.draining")
        await asyncio.sleep(self.settings.drain_notice_s)
        await self._server.stop(self.settings.drain_s)
        await self._app.close()
        await asyncio.to_thread(self._telemetry.close)
        self._log.info("process.stopped")

    def request_stop(self, number: int) -> None:
        """First signal: drain. Second: leave at once."""
        if self.stop_requested.is_set():
            os._exit(128 + number)
        self.stop_requested.set()

    async def _start_app(self) -> None:
        """Ready the application; a signal meanwhile gives up on it."""
        starting = asyncio.create_task(self._app.start())
        stopping = asyncio.create_task(self.stop_requested.wait())
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if starting.done():
            starting.result()
        else:
            starting.cancel()
            await asyncio.wait({starting})

    def _bind(self) -> int:
        address = self.settings.address
        files = self.settings.certificate_files
        try:
            if files is not None:
                return self._server.add_secure_port(address, server_credentials(files))
            return self._server.add_insecure_port(address)
        except OSError as error:
            raise StartupError(
                "cannot read the TLS certificate, its key or the client authority; set "
                f"{self.settings.prefix()}TLS_CERT, _TLS_KEY and _TLS_CLIENT_CA to readable files"
            ) from error
        except RuntimeError as error:
            prefix = self.settings.prefix()
            raise StartupError(
                f"cannot listen on {address}: it is in use or not an address of this machine; "
                f"stop the other process, or set {prefix}HOST and {prefix}PORT"
            ) from error


def _telemetry(name: str, settings: ServiceSettings) -> Telemetry:
    try:
        return Telemetry(service=name, version=metadata.version("vedette"), settings=settings)
    except MetricsAddressError as error:
        raise StartupError(
            f"cannot answer scrapes at {settings.metrics_address}: it is in use or not an address "
            f"of this machine; set {settings.prefix()}METRICS_ADDRESS to another, or to none"
        ) from error
    except OSError as error:
        raise StartupError(
            f"cannot write span files to {settings.trace_dir}; make it writable, "
            f"or set {settings.prefix()}TRACE_DIR to another folder or to none"
        ) from error


def _server_options(settings: ServiceSettings) -> list[tuple[str, int]]:
    return [
        # Without this a second process binds an occupied port and takes half its connections.
        ("grpc.so_reuseport", 0),
        ("grpc.max_receive_message_length", settings.max_message_bytes),
        ("grpc.max_send_message_length", settings.max_message_bytes),
        # Callers may ping during a long prefill; the effective key is this one, and the default
        # of five minutes answers a ping every 30 s with "too many pings".
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
    ]


def _request_types(service_names: tuple[str, ...]) -> dict[str, type[Message]]:
    """The request message of every method, by path."""
    pool = descriptor_pool.Default()
    return {
        f"/{name}/{method.name}": message_factory.GetMessageClass(method.input_type)
        for name in service_names
        for method in pool.FindServiceByName(name).methods
    }
