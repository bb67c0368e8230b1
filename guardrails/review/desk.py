"""Where a person works: cases to look at, and decisions about them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from .case import Decision

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from structlog.stdlib import BoundLogger

    from .case import Case, ReviewState
    from .recorder import Recorder
    from .store import Reviews

__all__ = ["Desk", "Page"]

_BATCH: Final = 100
# Texts of one page together; more would not fit into a message.
_PAGE_CHARS: Final = 2_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some cases, the name after which the next page begins, and how many went unseen."""

    cases: tuple[Case, ...]
    next_after: str
    evicted: int


class Desk:
    """Reads and decides cases; every look and every decision leaves a line in the log."""

    def __init__(
        self,
        store: Reviews,
        recorder: Recorder,
        *,
        log: BoundLogger,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Work on this store, which that recorder fills."""
        self._store = store
        self._recorder = recorder
        self._log = log
        self._now = now

    async def page(self, tenant: str, *, state: ReviewState | None, after: str, size: int) -> Page:
        """A tenant's cases in this state, oldest first; see `Reviews` for what it raises."""
        await self._recorder.settled()
        cases: list[Case] = []
        at = after
        while len(cases) <= size:
            batch = await self._store.after(tenant, at, _BATCH)
            cases += [case for case in batch if state in (None, case.state)]
            if len(batch) < _BATCH:
                break
            at = batch[-1].review_id
        shown = _fitting(cases[:size])
        self._log.info("reviews.read", tenant=tenant, cases=len(shown))
        return Page(
            cases=shown,
            next_after=shown[-1].review_id if len(cases) > len(shown) else "",
            evicted=await self._store.evicted(tenant) + self._recorder.lost(tenant),
        )

    async def case(self, tenant: str, review_id: str) -> Page:
        """One case, or none."""
        await self._recorder.settled()
        found = await self._store.find(tenant, review_id)
        self._log.info("reviews.read", tenant=tenant, cases=int(found is not None))
        return Page(
            cases=() if found is None else (found,),
            next_after="",
            evicted=await self._store.evicted(tenant) + self._recorder.lost(tenant),
        )

    async def resolve(
        self, tenant: str, review_id: str, *, state: ReviewState, resolved_by: str
    ) -> Case:
        """Write down what a person decided; see `Reviews` for what it raises."""
        await self._recorder.settled()
        decision = Decision(state=state, resolved_by=resolved_by, resolved_s=self._now())
        case = await self._store.decide(tenant, review_id, decision)
        self._log.info(
            "review.resolved",
            tenant=tenant,
            review_id=review_id,
            state=case.state.value,
            resolved_by=resolved_by,
        )
        return case


def _fitting(cases: Sequence[Case]) -> tuple[Case, ...]:
    """As many of the first cases as fit into one answer; at least one."""
    chars = 0
    for count, case in enumerate(cases):
        chars += len(case.text or "")
        if count and chars > _PAGE_CHARS:
            return tuple(cases[:count])
    return tuple(cases)
