"""`vedette up`: the three services on this machine, until a signal."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vedette.cli import loglines
from vedette.cli.terminal import EXIT_NO, err, fail, out, waiting
from vedette.counting import counted
from vedette.services import GATEWAY, GUARDRAILS, INFERENCE, embedded, wired, wrong_settings
from vedette.supervisor import ServiceFailedError, Supervisor

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.progress import Progress

__all__ = ["refuse_wrong_settings", "report_failure", "up"]


def _port(service: Any) -> Any:
    return typer.Option(
        metavar="PORT",
        envvar=service.variable("PORT"),
        min=1,
        max=65535,
        help=f"Where {service.name} listens.",
    )


def up(
    *,
    gateway_port: Annotated[int, _port(GATEWAY)] = GATEWAY.default_port,
    guardrails_port: Annotated[int, _port(GUARDRAILS)] = GUARDRAILS.default_port,
    inference_port: Annotated[int, _port(INFERENCE)] = INFERENCE.default_port,
    ready_timeout_s: Annotated[
        float,
        typer.Option("--ready-timeout", metavar="SECONDS", min=1, help="Until each must be ready."),
    ] = 600.0,
) -> None:
    """Run guardrails, inference and gateway here, until Ctrl-C.

    All other settings are the services' own, from VEDETTE_<SERVICE>_* in the environment.
    If one service ends, all are stopped and its last lines are shown.
    A second Ctrl-C does not wait.

    Examples:
      vedette up
      VEDETTE_INFERENCE_MODEL=/models/mine vedette up
      vedette up --gateway-port 6051 --guardrails-port 6052 --inference-port 6053
    """
    ports = {
        GATEWAY.name: gateway_port,
        GUARDRAILS.name: guardrails_port,
        INFERENCE.name: inference_port,
    }
    if len(set(ports.values())) < len(ports):
        fail("Two services cannot share a port.", "Give each a port of its own.", code=2)
    refuse_wrong_settings(ports)
    with waiting(err) as progress:
        supervisor = Supervisor(
            embedded(ports), audience=_Console(progress), ready_timeout_s=ready_timeout_s
        )
        try:
            asyncio.run(_run(supervisor, f"127.0.0.1:{gateway_port}"))
        except ServiceFailedError as error:
            progress.stop()
            report_failure(error)
            raise typer.Exit(EXIT_NO) from None


def refuse_wrong_settings(ports: Mapping[str, int]) -> None:
    """End the command if any service would refuse its settings, with all that is wrong."""
    mistakes = wrong_settings(wired(ports))
    if mistakes:
        fail(
            f"{counted(len(mistakes), 'wrong setting')}; nothing was started.",
            "\n".join(f"  - {mistake}" for mistake in mistakes),
            code=2,
        )


def report_failure(error: ServiceFailedError) -> None:
    """Say which service failed and how, with its last lines."""
    err.print(f"[bold red]error:[/] {error}", soft_wrap=True)
    if error.remedy:
        err.print(error.remedy, soft_wrap=True)
    if error.last_lines:
        err.print(f"{error.name} said last:")
        for line in error.last_lines:
            err.print(loglines.rendered(error.name, line), soft_wrap=True)


async def _run(supervisor: Supervisor, address: str) -> None:
    """Start, serve until a signal or a failure, stop."""
    stop = asyncio.Event()
    _on_signals(stop, supervisor)
    stopping = asyncio.create_task(stop.wait())
    try:
        starting = asyncio.create_task(supervisor.start())
        if not await _first(starting, stopping):
            return
        out.print(f"[bold]Vedette answers at {address}.[/] Try: vedette ask 'Why is the sky blue?'")
        failing = asyncio.create_task(supervisor.failed())
        if await _first(failing, stopping):
            raise failing.result()
    finally:
        stopping.cancel()
        await supervisor.stop()


async def _first(task: asyncio.Task[Any], stopping: asyncio.Task[Any]) -> bool:
    """Whether a task ended, with its exception if it has one, before the stop was asked for."""
    await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        task.result()
        return True
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return False


def _on_signals(stop: asyncio.Event, supervisor: Supervisor) -> None:
    """First signal: stop. Second: kill the children and leave at once."""

    def heard(number: int) -> None:
        if stop.is_set():
            supervisor.kill()
            os._exit(128 + number)
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, heard, number)


class _Console:
    """Prints what the services write, under a spinner for the one that is being waited for."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("", visible=False)

    def starting(self, name: str) -> None:
        self._progress.reset(self._task, description=f"starting {name}", visible=True)

    def ready(self, name: str, after_s: float) -> None:
        self._progress.update(self._task, visible=False)
        out.print(f"[bold]{name} is ready[/] after {after_s:.1f} s")

    def line(self, name: str, text: str) -> None:
        out.print(loglines.rendered(name, text), soft_wrap=True)

    def stopping(self, name: str) -> None:
        out.print(f"[bold]stopping {name}[/]")
