"""Runs candidate policies in the background, after the answer, on a small share of the time."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from guardrails.findings import ExecutionState

from .tally import Opinion, Pair, Tally

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from structlog.stdlib import BoundLogger

    from guardrails.findings import Action, Direction, Finding, Role
    from guardrails.pipeline.checking import Checker
    from guardrails.policy.compiled import CompiledPolicy
    from guardrails.window.surroundings import Surroundings

    from .files import TallyFiles

__all__ = ["Shadows"]

_MAX_WAITING: Final = 64
_MAX_WAITING_CHARS: Final = 2_000_000
_MAX_TALLIES: Final = 32
# After each piece the runner rests four times as long as the piece took: a fifth of the time at
# most goes to candidates, whatever the load.
_PIECE_CHARS: Final = 1_024
_REST: Final = 4.0
_WRITE_EVERY_S: Final = 5.0
_UNCLEAR: Final = frozenset({ExecutionState.FAILED, ExecutionState.TIMED_OUT})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    active: CompiledPolicy
    opinion: Opinion
    original: str
    direction: Direction
    role: Role
    surroundings: Surroundings


class Shadows:
    """Asks candidates about texts that active policies judged. Never waits and never raises.

    While too many texts wait, further ones are not compared but counted.
    """

    def __init__(  # noqa: PLR0913 - each is a part that a test exchanges
        self,
        checker: Checker,
        candidates: Callable[[str], Sequence[CompiledPolicy]],
        *,
        files: TallyFiles | None,
        log: BoundLogger,
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Put the parts together.

        Args:
            checker: of its own: it must not keep values behind pseudonyms.
            candidates: the policies that shadow the one of this name.
            files: where tallies are written.
            log: gets the counts.
            now: seconds since 1970.
            sleep: rests that many seconds.
        """
        self._checker = checker
        self._candidates = candidates
        self._files = files
        self._log = log
        self._now = now
        self._sleep = sleep
        self._waiting: deque[_Job] = deque()
        self._waiting_chars = 0
        self._tallies: dict[Pair, Tally] = {}
        self._changed: set[Pair] = set()
        self._written_s = 0.0
        self._working: asyncio.Task[None] | None = None

    @property
    def tallies(self) -> list[Tally]:
        """What was counted so far, of each pair of policies."""
        return list(self._tallies.values())

    def wants(self, policy: CompiledPolicy) -> bool:
        """Whether any candidate shadows this policy."""
        return bool(self._candidates(policy.name))

    def note(  # noqa: PLR0913 - a text and all that it stands in
        self,
        original: str,
        action: Action,
        findings: Sequence[Finding],
        *,
        policy: CompiledPolicy,
        direction: Direction,
        role: Role,
        surroundings: Surroundings,
    ) -> None:
        """A text was judged by an active policy; ask its candidates when there is time."""
        candidates = self._candidates(policy.name)
        if not candidates or not original:
            return
        if (
            len(self._waiting) >= _MAX_WAITING
            or self._waiting_chars + len(original) > _MAX_WAITING_CHARS
        ):
            for candidate in candidates:
                self._tally(policy, candidate).dropped += 1
            return
        self._waiting.append(
            _Job(
                active=policy,
                opinion=Opinion.of(action, findings),
                original=original,
                direction=direction,
                role=role,
                surroundings=surroundings,
            )
        )
        self._waiting_chars += len(original)
        if self._working is None or self._working.done():
            self._working = asyncio.create_task(self._work())

    async def close(self) -> None:
        """Stop; write what was counted."""
        if self._working is not None:
            self._working.cancel()
            await asyncio.wait({self._working})
        self._write()

    async def _work(self) -> None:
        while self._waiting or self._changed:
            if self._waiting:
                job = self._waiting.popleft()
                self._waiting_chars -= len(job.original)
                for candidate in self._candidates(job.active.name):
                    await self._compare(job, candidate)
            due_s = self._written_s + _WRITE_EVERY_S - self._now()
            if due_s <= 0:
                self._write()
            elif not self._waiting:
                await self._sleep(due_s)

    async def _compare(self, job: _Job, candidate: CompiledPolicy) -> None:
        tally = self._tally(job.active, candidate)
        surroundings = job.surroundings
        if surroundings.purpose not in candidate.purposes:
            surroundings = dataclasses.replace(surroundings, purpose="")
        try:
            check = await self._checker.open(
                candidate, direction=job.direction, role=job.role, surroundings=surroundings
            )
            async for _ in check.run(self._paced(job.original)):
                pass
        except Exception as error:  # noqa: BLE001 - whatever a candidate does, it acts on nothing
            tally.failed += 1
            self._log.warning(
                "shadow.failed", candidate=candidate.name, error_type=type(error).__name__
            )
            return
        tally.failed += any(each.state in _UNCLEAR for each in check.window.executions)
        tally.add(
            job.direction,
            job.opinion,
            Opinion.of(check.action, check.findings),
            text_sha256=hashlib.sha256(job.original.encode("utf-8", "surrogatepass")).hexdigest(),
            request_id=job.surroundings.request_id,
        )

    async def _paced(self, text: str) -> AsyncIterator[str]:
        """The text in small pieces, with a rest after each; a verdict does not depend on cuts."""
        for at in range(0, len(text), _PIECE_CHARS):
            began_s = time.monotonic()
            yield text[at : at + _PIECE_CHARS]
            await self._sleep((time.monotonic() - began_s) * _REST)

    def _tally(self, active: CompiledPolicy, candidate: CompiledPolicy) -> Tally:
        pair = Pair(
            active=active.name,
            active_digest=active.digest,
            candidate=candidate.name,
            candidate_digest=candidate.digest,
        )
        if pair not in self._tallies:
            if len(self._tallies) >= _MAX_TALLIES:
                oldest = next(iter(self._tallies))
                del self._tallies[oldest]
                self._changed.discard(oldest)
            self._tallies[pair] = Tally(pair=pair, since_s=self._now())
        self._changed.add(pair)
        return self._tallies[pair]

    def _write(self) -> None:
        """Tell log and files of what changed."""
        changed, self._changed = self._changed, set()
        self._written_s = self._now()
        for pair in changed:
            tally = self._tallies[pair]
            self._log.info(
                "shadow.counted",
                active=pair.active,
                candidate=pair.candidate,
                compared=tally.compared.total(),
                disagreed=tally.disagreed,
                dropped=tally.dropped,
                failed=tally.failed,
            )
            if self._files is None:
                continue
            try:
                self._files.write(tally, now_s=self._written_s)
            except OSError as error:
                self._log.error("shadow.not_written", error_type=type(error).__name__)
