"""Opens cases beside the requests that they are about; no request ever waits for one."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import Counter, deque
from typing import TYPE_CHECKING, Final

from .case import Case, new_review_id
from .store import ReviewsDown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from structlog.stdlib import BoundLogger

    from guardrails.findings import Direction, Finding, Role
    from guardrails.policy.compiled import CompiledPolicy
    from guardrails.window.surroundings import Surroundings

    from .store import Reviews

__all__ = ["MAX_KEPT_CHARS", "Recorder"]

# The contract names this number.
MAX_KEPT_CHARS: Final = 20_000
_MAX_WAITING: Final = 1_000
_MAX_TENANTS: Final = 1_000
_SETTLE_S: Final = 2.0


class Recorder:
    """Writes cases in the background, in order.

    What cannot be written, because the store is down or cases come faster than it takes them,
    is lost and counted: a queue for people never fails a request.
    """

    def __init__(
        self,
        store: Reviews,
        *,
        log: BoundLogger,
        now: Callable[[], float] = time.time,
        most_waiting: int = _MAX_WAITING,
    ) -> None:
        """Write to this store."""
        self._store = store
        self._log = log
        self._now = now
        self._most_waiting = most_waiting
        self._waiting: deque[Case] = deque()
        self._lost: Counter[str] = Counter()
        self._writing: asyncio.Task[None] | None = None

    def record(  # noqa: PLR0913 - a case is made of all this
        self,
        original: str,
        findings: Sequence[Finding],
        *,
        policy: CompiledPolicy,
        direction: Direction,
        role: Role,
        surroundings: Surroundings,
    ) -> str:
        """Open a case if a finding asks for a person; its name, or nothing."""
        if not any(finding.treatment.asks for finding in findings):
            return ""
        now_s = self._now()
        keeps = policy.reviews.keep_text and len(original) <= MAX_KEPT_CHARS
        case = Case(
            review_id=new_review_id(now_s),
            tenant=surroundings.tenant,
            created_s=now_s,
            expires_s=now_s + policy.reviews.ttl_s,
            role=role,
            direction=direction,
            findings=tuple(findings),
            text_sha256=hashlib.sha256(original.encode("utf-8", "surrogatepass")).hexdigest(),
            text=original if keeps else None,
            policy_digest=policy.digest,
            request_id=surroundings.request_id,
        )
        self._enqueue(case)
        return case.review_id

    def lost(self, tenant: str) -> int:
        """How many of a tenant's cases were never written."""
        return self._lost[tenant]

    async def settled(self) -> None:
        """Return when what was recorded before is written or lost, or after a while."""
        if self._writing is not None:
            await asyncio.wait({self._writing}, timeout=_SETTLE_S)

    def _enqueue(self, case: Case) -> None:
        self._waiting.append(case)
        if len(self._waiting) > self._most_waiting:
            self._lose(self._waiting.popleft(), "too many at once")
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())

    async def _write(self) -> None:
        while self._waiting:
            case = self._waiting.popleft()
            try:
                await self._store.add(case)
            except ReviewsDown:
                self._lose(case, "the store is down")

    def _lose(self, case: Case, cause: str) -> None:
        if case.tenant in self._lost or len(self._lost) < _MAX_TENANTS:
            self._lost[case.tenant] += 1
        self._log.warning("review.lost", tenant=case.tenant, cause=cause)
