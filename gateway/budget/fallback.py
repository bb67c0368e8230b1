"""The ledger while Redis is lost.

Holds are then made locally against a stated share of each allowance. What requests consume is
kept and booked when Redis is back; because a settlement carries its request's name it is booked
once, however often it is sent.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from gateway.state.shared import StateLostError
from servicekit import logs

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from gateway.budget.ledger import Amount, Balance, Charge, Ledger, Row, Shortage
    from gateway.terms import Allowance

__all__ = ["ResilientLedger"]

_MOST_UNBOOKED = 100_000
_BOOK_EVERY_S = 0.5


class ResilientLedger:
    """A shared ledger, and a local one that stands in for it."""

    def __init__(self, shared: Ledger, local: Ledger, *, factor: float) -> None:
        """Prefer the first; grant `factor` of each allowance by the second."""
        self._shared = shared
        self._local = local
        self._factor = factor
        self._unbooked: deque[Charge] = deque()
        self.degraded = False

    async def hold(
        self,
        tenant: str,
        request_id: str,
        amount: Amount,
        allowances: Sequence[Allowance],
        *,
        ttl_s: float,
    ) -> Shortage | None:
        """As the protocol says, with less to go round while Redis is lost."""
        try:
            shortage = await self._shared.hold(tenant, request_id, amount, allowances, ttl_s=ttl_s)
        except StateLostError:
            self.degraded = True
            scaled = [replace(a, limit=int(a.limit * self._factor)) for a in allowances]
            return await self._local.hold(tenant, request_id, amount, scaled, ttl_s=ttl_s)
        self.degraded = False
        return shortage

    async def release(self, tenant: str, request_id: str) -> None:
        """As the protocol says, in both places; a lost one lets go by itself."""
        await self._local.release(tenant, request_id)
        with suppress(StateLostError):
            await asyncio.shield(self._shared.release(tenant, request_id))

    async def settle(self, charge: Charge) -> None:
        """As the protocol says; what cannot be booked now is booked later."""
        await asyncio.shield(self._settle(charge))

    async def _settle(self, charge: Charge) -> None:
        try:
            await self._shared.settle(charge)
        except StateLostError:
            await self._local.settle(charge)
            self._unbooked.append(charge)
            if len(self._unbooked) > _MOST_UNBOOKED:
                self._unbooked.popleft()
                logs.get().error("ledger.charge_lost")

    async def rows(self, tenant: str, first: date, last: date) -> list[Row]:
        """As the protocol says.

        Raises:
            StateLostError: Redis cannot be asked.
        """
        return await self._shared.rows(tenant, first, last)

    async def balances(self, tenant: str, allowances: Sequence[Allowance]) -> list[Balance]:
        """As the protocol says.

        Raises:
            StateLostError: Redis cannot be asked.
        """
        return await self._shared.balances(tenant, allowances)

    async def book(self) -> None:
        """Book what could not be booked; what still cannot stays."""
        while self._unbooked:
            try:
                await self._shared.settle(self._unbooked[0])
            except StateLostError:
                return
            self._unbooked.popleft()

    async def run(self) -> None:
        """Book what is left over now and then, until cancelled."""
        while True:
            await asyncio.sleep(_BOOK_EVERY_S)
            await self.book()
