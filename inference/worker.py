"""An engine in a thread of its own, and its answers as async iterators.

The thread owns the engine. The event loop hands it commands through a deque; after each step the
thread hands all the news that are due over in one call, however many requests they concern. News
that a reader has not taken yet are merged, so a reader that falls behind gets fewer, larger
pieces. One that falls far behind is paused, and cancelled if it does not come back; nobody waits
for it.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Self

from inference.engine.engine import StepError
from inference.outbox import Outbox

if TYPE_CHECKING:
    from collections.abc import Callable

    from inference.engine.engine import Engine, Load
    from inference.engine.request import Output, Refusal, Request

__all__ = ["Answer", "BusyError", "EngineWorker", "RefusedError"]


# Unread tokens at which a request is paused.
_MAILBOX_TOKENS = 256
# How often deadlines are looked at while everybody is paused.
_STALLED_S = 0.05


class BusyError(Exception):
    """As many requests are waiting as may."""


class RefusedError(Exception):
    """The engine did not take a request on."""

    def __init__(self, refusal: Refusal) -> None:
        """Say why."""
        super().__init__("the request cannot end before its deadline")
        self.refusal = refusal


class EngineWorker:
    """Serves one engine to one event loop."""

    def __init__(
        self,
        engine: Engine,
        *,
        max_requests: int,
        messages_per_s: float,
        on_failure: Callable[[Exception], None],
    ) -> None:
        """Prepare; `start` begins.

        Args:
            engine: what computes; from now on it belongs to the thread.
            max_requests: running and waiting requests together.
            messages_per_s: how many pieces of answers, at about the most, all readers get.
            on_failure: told, on the event loop, of each step that failed.
        """
        self._engine = engine
        self._max_requests = max_requests
        self._on_failure = on_failure
        self._outbox = Outbox(messages_per_s=messages_per_s)
        self._commands: deque[Callable[[], None]] = deque()
        self._wake = threading.Event()
        self._stopping = False
        self._step_began_s: float | None = None
        self._mailboxes: dict[int, _Mailbox] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    def start(self) -> None:
        """Begin; call it on the event loop that will read."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    async def close(self) -> None:
        """Stop after the running step; readers that are left get no more news."""
        self._stopping = True
        self._wake.set()
        if self._thread.ident is not None:
            await asyncio.to_thread(self._thread.join)

    @property
    def num_requests(self) -> int:
        """Requests that are running or waiting."""
        return len(self._mailboxes)

    def submit(self, request: Request) -> Answer:
        """Queue a request; `Answer.accepted` says whether the engine took it on.

        Whoever takes the answer closes it.

        Raises:
            BusyError: if too many requests are waiting.
        """
        if len(self._mailboxes) >= self._max_requests:
            raise BusyError
        mailbox = _Mailbox(on_room=partial(self._resume, request.id))
        self._mailboxes[request.id] = mailbox
        self._command(lambda: self._add(request, mailbox))
        return Answer(mailbox, on_close=lambda: self._forget(request.id))

    @property
    def load(self) -> Load:
        """What the engine has to do."""
        return self._engine.load

    @property
    def step_age_s(self) -> float:
        """How long the running step has taken; 0 between steps."""
        began_s = self._step_began_s
        return 0.0 if began_s is None else time.monotonic() - began_s

    def cancel_stalled(self, limit_s: float) -> None:
        """Cancel the requests whose readers have taken nothing for this long."""
        now_s = time.monotonic()
        for number, mailbox in self._mailboxes.items():
            if mailbox.full_since_s is not None and now_s - mailbox.full_since_s > limit_s:
                self._command(partial(self._cancel, number))

    def _add(self, request: Request, mailbox: _Mailbox) -> None:
        self._hand_over(mailbox.decide, self._engine.add(request))

    def _cancel(self, request_id: int) -> None:
        self._outbox.put(self._engine.cancel(request_id))
        self._send(self._outbox.take(time.monotonic()))

    def _pause(self, request_id: int, mailbox: _Mailbox) -> None:
        if mailbox.full_since_s is None:
            mailbox.full_since_s = time.monotonic()
            self._command(partial(self._engine.pause, request_id, paused=True))

    def _resume(self, request_id: int) -> None:
        self._command(partial(self._engine.pause, request_id, paused=False))

    def _forget(self, request_id: int) -> None:
        if self._mailboxes.pop(request_id, None) is not None:
            self._command(lambda: self._engine.abort(request_id))

    def _command(self, command: Callable[[], None]) -> None:
        self._commands.append(command)
        self._wake.set()

    def _run(self) -> None:
        while not self._stopping:
            self._wake.wait()
            self._wake.clear()
            self._obey()
            while self._engine.has_work and not self._stopping:
                self._step()
                if self._engine.is_stalled:
                    self._send(self._outbox.take_all())
                    self._wake.wait(_STALLED_S)
                self._obey()

    def _obey(self) -> None:
        while self._commands:
            self._commands.popleft()()

    def _step(self) -> None:
        self._step_began_s = time.monotonic()
        try:
            outputs = self._engine.step()
        except StepError as error:
            outputs = error.outputs
            self._hand_over(self._on_failure, error)
        self._step_began_s = None
        self._outbox.put(outputs)
        self._send(self._outbox.take(time.monotonic()))

    def _send(self, outputs: list[Output]) -> None:
        if outputs:
            self._hand_over(self._deliver, outputs)

    def _hand_over(self, callback: Callable[..., None], *args: object) -> None:
        assert self._loop is not None
        with suppress(RuntimeError):  # the loop is closed: nobody is left to tell
            self._loop.call_soon_threadsafe(callback, *args)

    def _deliver(self, outputs: list[Output]) -> None:
        for output in outputs:
            mailbox = self._mailboxes.get(output.request_id)
            if mailbox is None:
                continue
            mailbox.put(output)
            if output.finish_reason is not None:
                del self._mailboxes[output.request_id]
            elif mailbox.is_full:
                self._pause(output.request_id, mailbox)


class Answer:
    """The news of one request, the last with a finish reason."""

    def __init__(self, mailbox: _Mailbox, *, on_close: Callable[[], None]) -> None:
        """Read this mailbox."""
        self._mailbox = mailbox
        self._on_close = on_close
        self._complete = False

    async def accepted(self) -> None:
        """Wait until the engine has taken the request on, which takes a step at most.

        Raises:
            RefusedError: if it has not.
        """
        refusal = await self._mailbox.decision
        if refusal is not None:
            raise RefusedError(refusal)

    def __aiter__(self) -> Self:
        """The news in their order."""
        return self

    async def __anext__(self) -> Output:
        """All the news since the last."""
        if self._complete:
            raise StopAsyncIteration
        output = await self._mailbox.take()
        self._complete = output.finish_reason is not None
        return output

    async def aclose(self) -> None:
        """Want no more: a request that still runs is aborted."""
        self._complete = True
        self._on_close()


class _Mailbox:
    """The news that one reader has not taken yet, merged."""

    def __init__(self, *, on_room: Callable[[], None]) -> None:
        self._news: Output | None = None
        self._arrived = asyncio.Event()
        self._on_room = on_room
        self.decision: asyncio.Future[Refusal | None] = asyncio.get_running_loop().create_future()
        self.full_since_s: float | None = None

    @property
    def is_full(self) -> bool:
        return self._news is not None and self._news.new_tokens >= _MAILBOX_TOKENS

    def decide(self, refusal: Refusal | None) -> None:
        if not self.decision.done():  # whoever waited may have left
            self.decision.set_result(refusal)

    def put(self, output: Output) -> None:
        self._news = output if self._news is None else self._news.merged(output)
        self._arrived.set()

    async def take(self) -> Output:
        await self._arrived.wait()
        self._arrived.clear()
        news, self._news = self._news, None
        assert news is not None
        if self.full_since_s is not None:
            self.full_since_s = None
            self._on_room()
        return news
