"""Runs a group of processes as one: all of them, or none.

They start in order, each once the one before reports SERVING; they stop in reverse order. When
one ends by itself, the rest is stopped. Each has a process group of its own, so that a signal
typed at the terminal reaches only the supervisor, and a stop reaches whatever a child started.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from vedette import probe

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType
    from typing import Self

    from vedette.services import ServiceProcess

__all__ = ["Audience", "ServiceFailedError", "Supervisor"]

_LAST_LINES: Final = 20
_LONGEST_LINE_BYTES: Final = 1 << 20
# A grandchild may hold the pipe open; its words are not waited for.
_LAST_WORDS_S: Final = 0.5
_TETHER: Final = str(Path(__file__).with_name("tether.py"))


class ServiceFailedError(Exception):
    """A process did not become ready, or ended by itself.

    Attributes:
        name: The service.
        problem: What happened, in a sentence's predicate: "ended with exit code 1".
        last_lines: The last lines it wrote, oldest first.
        remedy: What to do about it; empty where the last lines have to say.

    """

    def __init__(
        self, name: str, problem: str, last_lines: Sequence[str] = (), *, remedy: str = ""
    ) -> None:
        super().__init__(f"{name} {problem}")
        self.name = name
        self.problem = problem
        self.last_lines = tuple(last_lines)
        self.remedy = remedy


class Audience(Protocol):
    """Hears what happens; its methods return at once and raise nothing."""

    def starting(self, name: str) -> None:
        """A process was started and is not ready yet."""

    def ready(self, name: str, after_s: float) -> None:
        """A process reports SERVING."""

    def line(self, name: str, text: str) -> None:
        """A process wrote a line, on either of its outputs."""

    def stopping(self, name: str) -> None:
        """A process is asked to end."""


class Supervisor:
    """One group of processes. Start it once; stop it as often as you like."""

    def __init__(
        self,
        processes: Sequence[ServiceProcess],
        *,
        audience: Audience,
        ready_timeout_s: float = 300.0,
        stop_timeout_s: float = 15.0,
    ) -> None:
        """Describe the group.

        Args:
            processes: in the order in which to start them.
            audience: hears what happens.
            ready_timeout_s: how long one may take to report SERVING.
            stop_timeout_s: how long one may take to end when asked, before it is killed.
        """
        self._processes = processes
        self._audience = audience
        self._ready_timeout_s = ready_timeout_s
        self._stop_timeout_s = stop_timeout_s
        self._children: list[_Child] = []

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start all in order; returns when the last is ready. On failure the caller stops the rest.

        Raises:
            ServiceFailedError: one ended, or did not report SERVING in time, or something else
                listens in its place; then none was started.
        """
        for process in self._processes:
            await _refuse_taken(process)
        for process in self._processes:
            await self._start(process)

    async def failed(self) -> ServiceFailedError:
        """Wait until one ends by itself, and say which."""
        ends = {asyncio.ensure_future(child.ended()): child for child in self._children}
        try:
            done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for end in ends:
                end.cancel()
        return next(child for end, child in ends.items() if end in done).failure()

    async def stop(self) -> None:
        """End all in reverse order: ask, wait, kill."""
        while self._children:
            child = self._children[-1]
            if child.running:
                self._audience.stopping(child.name)
            await child.stop(self._stop_timeout_s)
            self._children.pop()

    def kill(self) -> None:
        """Kill all at once, without waiting."""
        for child in self._children:
            child.signal(signal.SIGKILL)

    async def _start(self, process: ServiceProcess) -> None:
        started_s = time.monotonic()
        self._audience.starting(process.name)
        child = await _Child.spawn(process, self._audience)
        self._children.append(child)
        await self._ready(child)
        self._audience.ready(process.name, time.monotonic() - started_s)

    async def _ready(self, child: _Child) -> None:
        serving = asyncio.ensure_future(
            probe.wait_until_serving(
                child.process.target, child.process.grpc_name, child.process.certificate
            )
        )
        ended = asyncio.ensure_future(child.ended())
        try:
            await asyncio.wait(
                {serving, ended},
                timeout=self._ready_timeout_s,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if ended.done():
                raise child.failure()
            if not serving.done():
                problem = f"did not report SERVING within {self._ready_timeout_s:g} s"
                raise ServiceFailedError(child.name, problem, child.last_lines)
        finally:
            serving.cancel()
            ended.cancel()
            await asyncio.gather(serving, ended, return_exceptions=True)


async def _refuse_taken(process: ServiceProcess) -> None:
    if await probe.listens(process.target):
        raise ServiceFailedError(
            process.name,
            f"cannot start: something else listens on {process.target}",
            remedy=f"If it is another `vedette up`, `vedette health` says SERVING: use that one"
            f" or stop it. Otherwise move this one with --{process.name}-port.",
        )


class _Output(asyncio.SubprocessProtocol):
    """What a process writes, line by line, and when it ends.

    Not asyncio's `Process`: its `wait` returns only when the pipe is closed as well, and a
    grandchild that outlives its parent keeps it open.
    """

    def __init__(self, hear: Callable[[str], None]) -> None:
        self.exited = asyncio.Event()
        self.silent = asyncio.Event()
        self._hear = hear
        self._rest = b""

    def pipe_data_received(self, _fd: int, data: bytes) -> None:
        *lines, rest = (self._rest + data).split(b"\n")
        if len(rest) > _LONGEST_LINE_BYTES:
            lines, rest = [*lines, rest], b""
        self._rest = rest
        for line in lines:
            self._hear(line.decode(errors="replace").rstrip())

    def pipe_connection_lost(self, _fd: int, _error: Exception | None) -> None:
        if self._rest:
            self._hear(self._rest.decode(errors="replace").rstrip())
        self.silent.set()

    def process_exited(self) -> None:
        self.exited.set()


class _Child:
    """One running process and what it wrote last."""

    def __init__(self, process: ServiceProcess, audience: Audience) -> None:
        self.process = process
        self.name = process.name
        self.last_lines: deque[str] = deque(maxlen=_LAST_LINES)
        self._audience = audience
        self._output = _Output(self._hear)
        self._transport: asyncio.SubprocessTransport

    @classmethod
    async def spawn(cls, process: ServiceProcess, audience: Audience) -> Self:
        """Start it in a process group of its own, tethered to this process."""
        child = cls(process, audience)
        child._transport, _ = await asyncio.get_running_loop().subprocess_exec(
            lambda: child._output,
            *(sys.executable, "-I", "-S", _TETHER, str(os.getpid())),
            *process.argv,
            env=process.environ,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        return child

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return not self._output.exited.is_set()

    async def ended(self) -> None:
        """Wait for its end and for its last words."""
        await self._output.exited.wait()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._output.silent.wait(), _LAST_WORDS_S)

    def failure(self) -> ServiceFailedError:
        """How it ended."""
        code = self._transport.get_returncode() or 0
        how = (
            f"ended with exit code {code}" if code >= 0 else f"was killed by {_signal_name(-code)}"
        )
        return ServiceFailedError(self.name, how, self.last_lines)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to its whole group."""
        with suppress(ProcessLookupError):
            os.killpg(self._transport.get_pid(), number)

    async def stop(self, timeout_s: float) -> None:
        """Ask it to end, and kill what is left of its group after the timeout."""
        if self.running:
            self.signal(signal.SIGTERM)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._output.exited.wait(), timeout_s)
        self.signal(signal.SIGKILL)
        await self.ended()
        self._transport.close()

    def _hear(self, text: str) -> None:
        self.last_lines.append(text)
        self._audience.line(self.name, text)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
