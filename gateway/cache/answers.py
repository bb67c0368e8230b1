"""Answers that are the same every time: generated once, for all who ask meanwhile and after.

This wraps the model, so what is kept is the model's raw text, and every use of it passes the
current output policy like any other answer. Only requests that say so are deterministic: those
with temperature 0 or a seed. A tenant's answers are for that tenant only.

Those who ask while an answer is being made watch the same generation. It belongs to none of them:
it goes on when one leaves, and stops when the last one has left. Those who ask another gateway
meanwhile get the answer when it is complete, if the gateways share a Redis.
"""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from gateway.answer import FinishReason, Usage
from gateway.cache.keys import answer_key
from gateway.cache.turns import turn
from gateway.spoken import Spoken
from servicekit import names
from servicekit.deadline import Deadline
from servicekit.errors import DeadlineExceeded

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.answer import Request
    from gateway.cache.stores import Store
    from gateway.catalogue import Catalogue
    from gateway.pipeline import Generation, Model

__all__ = ["CachedModel"]

_COMPLETE = (FinishReason.STOP, FinishReason.LENGTH)
# A shared generation has the patience of the most patient caller there could be.
_FLIGHT_S = 3600.0
# Of a caller's time, what is kept for checking and sending the last of an answer cut short.
_MARGIN_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """A complete answer: its pieces with the seconds after the beginning at which they came."""

    model: str
    finish_reason: FinishReason
    pieces: tuple[tuple[float, str], ...]

    def to_json(self) -> str:
        return json.dumps([self.model, self.finish_reason, self.pieces], separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> _Answer:
        model, finish_reason, pieces = json.loads(text)
        return cls(
            model=model,
            finish_reason=FinishReason(finish_reason),
            pieces=tuple((at_s, piece) for at_s, piece in pieces),
        )


class CachedModel:
    """A model that does not do the same work twice."""

    def __init__(
        self,
        inner: Model,
        *,
        store: Store,
        catalogue: Catalogue,
        ttl_s: float,
        keep_cadence: bool,
    ) -> None:
        """Wrap this model; replay at once, or in the cadence of the original."""
        self._inner = inner
        self._store = store
        self._catalogue = catalogue
        self._ttl_s = ttl_s
        self._keep_cadence = keep_cadence
        self._flights: dict[str, _Flight] = {}

    @asynccontextmanager
    async def generate(self, request: Request, deadline: Deadline) -> AsyncIterator[Generation]:
        """As the model's; an answer that costs no work consumes nothing."""
        revision = self._catalogue.revision(request.model)
        if not request.deterministic or revision is None:
            async with self._inner.generate(request, deadline) as generation:
                yield generation
            return
        flight, is_first = self._flight(answer_key(request, revision), request)
        try:
            if is_first:
                await flight.accepted(deadline)
            else:
                with request.journal.begin(names.STEP_CACHE, "shared"):
                    await flight.accepted(deadline)
            yield _Shared(flight, request, deadline, pays=is_first and not flight.is_replay)
        except TimeoutError:
            raise DeadlineExceeded from None
        finally:
            flight.leave()

    def _flight(self, key: str, request: Request) -> tuple[_Flight, bool]:
        """The flight to ride; no one can come between looking for it and being on it."""
        flight = self._flights.get(key)
        if flight is not None and not flight.given_up:
            flight.riders += 1
            return flight, False
        flight = self._flights[key] = _Flight(self, key, request)
        return flight, True

    async def fly(self, flight: _Flight, key: str, request: Request) -> None:
        """Get the answer for all who ride along: from the store, or else from the model."""
        try:
            async with AsyncExitStack() as stack:
                with request.journal.begin(names.STEP_CACHE, "miss") as step:
                    kept = await stack.enter_async_context(turn(self._store, key))
                    step.outcome = "miss" if kept is None else "hit"
                if kept is None:
                    await self._generate(flight, key, request)
            if kept is not None:
                await self._replay(flight, _Answer.from_json(kept))
        finally:
            if self._flights.get(key) is flight:
                del self._flights[key]

    async def _generate(self, flight: _Flight, key: str, request: Request) -> None:
        async with self._inner.generate(request, Deadline.after(_FLIGHT_S)) as generation:
            flight.accept(generation.model)
            async for piece in generation.deltas():
                flight.add(piece)
            if generation.finish_reason in _COMPLETE:
                answer = flight.answer(generation.finish_reason)
                await self._store.put(key, answer.to_json(), ttl_s=self._ttl_s)
            flight.land(generation.finish_reason)

    async def _replay(self, flight: _Flight, answer: _Answer) -> None:
        flight.accept(answer.model, is_replay=True)
        began_s = time.monotonic()
        for at_s, piece in answer.pieces:
            if self._keep_cadence:
                await asyncio.sleep(max(0.0, began_s + at_s - time.monotonic()))
            flight.add(piece)
        flight.land(answer.finish_reason)


class _Flight:
    """One answer that several watch."""

    def __init__(self, owner: CachedModel, key: str, request: Request) -> None:
        self.riders = 1
        self.given_up = False
        self.model = ""
        self.finish_reason = FinishReason.CANCELLED
        self.pieces: list[tuple[float, str]] = []
        self.landed = False
        self.is_replay = False
        self.journal = request.journal.fork()
        self._is_accepted = False
        self._began_s = time.monotonic()
        self._news = asyncio.Event()
        own = replace(request, journal=self.journal)
        self._task = asyncio.create_task(owner.fly(self, key, own))
        self._task.add_done_callback(self._ended)

    def accept(self, model: str, *, is_replay: bool = False) -> None:
        self.model = model
        self.is_replay = is_replay
        self._is_accepted = True
        self._tell()

    def add(self, piece: str) -> None:
        self.pieces.append((round(time.monotonic() - self._began_s, 3), piece))
        self._tell()

    def land(self, finish_reason: FinishReason) -> None:
        self.finish_reason = finish_reason
        self.landed = True
        self._tell()

    def answer(self, finish_reason: FinishReason) -> _Answer:
        return _Answer(model=self.model, finish_reason=finish_reason, pieces=tuple(self.pieces))

    def leave(self) -> None:
        """One watches no longer; the last one stops the generation."""
        self.riders -= 1
        if self.riders == 0 and not self._task.done():
            self.given_up = True
            self._task.cancel()

    async def accepted(self, deadline: Deadline) -> None:
        """Wait until the model accepts.

        Raises:
            Fault: it does not.
            TimeoutError: it takes too long for this caller.
        """
        while not self._is_accepted:
            await self.news(deadline)

    async def news(self, deadline: Deadline) -> None:
        """Wait for something to happen, or for the generation's fault.

        Raises:
            Fault: the generation failed.
            TimeoutError: this caller's time is up.
        """
        if self._task.done():
            self._task.result()
            return
        news = self._news
        await asyncio.wait_for(news.wait(), deadline.remaining_s(margin_s=_MARGIN_S))

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            task.exception()  # every rider raises it; there may be none left
        self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


@dataclass(slots=True)
class _Shared:
    """One caller's view of a flight. The one who caused it pays; for the others it is free."""

    flight: _Flight
    request: Request
    deadline: Deadline
    pays: bool
    model: str = ""
    finish_reason: FinishReason = FinishReason.CANCELLED
    usage: Usage = field(default=Usage())
    spoken: Spoken = field(default_factory=Spoken)

    def __post_init__(self) -> None:
        self.model = self.flight.model
        self._account()

    async def deltas(self) -> AsyncIterator[str]:
        """The raw text, as far as the deadline goes."""
        seen = 0
        try:
            while True:
                self._account()
                for _, piece in self.flight.pieces[seen:]:
                    seen += 1
                    yield piece
                if self.flight.landed and seen == len(self.flight.pieces):
                    break
                if seen == len(self.flight.pieces):
                    await self.flight.news(self.deadline)
        except TimeoutError:
            self.finish_reason = FinishReason.TIME_LIMIT
            return
        self.finish_reason = self.flight.finish_reason
        self._account()

    def _account(self) -> None:
        if self.pays:
            self.usage = self.flight.journal.usage or Usage()
            self.request.journal.queue_s = self.flight.journal.queue_s
        self.request.journal.usage, self.request.journal.model = self.usage, self.model
