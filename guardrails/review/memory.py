"""Cases in this process: for one machine, and gone with it."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from .case import ReviewState
from .store import ReviewDecided, ReviewUnknown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .case import Case, Decision

__all__ = ["MemoryReviews"]

_MAX_TENANTS: Final = 1_000


@dataclass(slots=True)
class _Pile:
    cases: OrderedDict[str, Case] = field(default_factory=OrderedDict)
    evicted: int = 0


class MemoryReviews:
    """See `Reviews`. With more tenants than it has room for, the one silent longest goes."""

    def __init__(self, *, most: int, now: Callable[[], float] = time.time) -> None:
        """Keep at most so many cases of each tenant."""
        self._most = most
        self._now = now
        self._piles: OrderedDict[str, _Pile] = OrderedDict()

    async def add(self, case: Case) -> None:
        """Keep a case; see `Reviews`."""
        pile = self._live(case.tenant)
        pile.cases[case.review_id] = case
        if len(pile.cases) > self._most:
            pile.cases.popitem(last=False)
            pile.evicted += 1
        self._piles[case.tenant] = pile
        self._piles.move_to_end(case.tenant)
        if len(self._piles) > _MAX_TENANTS:
            self._piles.popitem(last=False)

    async def find(self, tenant: str, review_id: str) -> Case | None:
        """A tenant's case."""
        return self._live(tenant).cases.get(review_id)

    async def after(self, tenant: str, review_id: str, most: int) -> Sequence[Case]:
        """The tenant's cases after this one; see `Reviews`."""
        later = sorted(name for name in self._live(tenant).cases if name > review_id)
        return [self._piles[tenant].cases[name] for name in later[:most]]

    async def decide(self, tenant: str, review_id: str, decision: Decision) -> Case:
        """Write down a decision; see `Reviews`."""
        cases = self._live(tenant).cases
        case = cases.get(review_id)
        if case is None:
            raise ReviewUnknown
        if case.says(decision):
            return case
        if case.state is not ReviewState.PENDING:
            raise ReviewDecided
        cases[review_id] = case.decided(decision)
        return cases[review_id]

    async def evicted(self, tenant: str) -> int:
        """How many went before their time."""
        return self._live(tenant).evicted

    async def close(self) -> None:
        """Forget everything."""
        self._piles.clear()

    def _live(self, tenant: str) -> _Pile:
        """The tenant's pile without what has expired."""
        pile = self._piles.get(tenant, _Pile())
        now_s = self._now()
        for name in [name for name, case in pile.cases.items() if case.expires_s <= now_s]:
            del pile.cases[name]
        return pile
