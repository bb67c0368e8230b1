"""The ledger: who set aside how much, who consumed how much.

An amount is *held* for a request before the work and the hold ends when the request is settled.
A hold also ends by itself when its time is up, so that what a crashed gateway held comes back.
At rest nothing is held.
"""

from __future__ import annotations

import calendar
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

from gateway.terms import Period, Unit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.terms import Allowance

__all__ = ["Amount", "Balance", "Charge", "Ledger", "Row", "Shortage", "period_key", "resets"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """Tokens and what they cost."""

    tokens: int = 0
    cost_micros: int = 0

    def __add__(self, other: Amount) -> Amount:
        return Amount(
            tokens=self.tokens + other.tokens, cost_micros=self.cost_micros + other.cost_micros
        )

    def of(self, unit: Unit) -> int:
        """The figure that an allowance of this unit counts."""
        return self.tokens if unit is Unit.TOKENS else self.cost_micros


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """What one request consumed."""

    request_id: str
    tenant: str
    model: str
    input_tokens: int
    output_tokens: int
    cost_micros: int
    blocked: bool

    @property
    def amount(self) -> Amount:
        """What it takes from the allowances."""
        return Amount(tokens=self.input_tokens + self.output_tokens, cost_micros=self.cost_micros)


@dataclass(frozen=True, slots=True)
class Shortage:
    """An allowance that does not cover what was asked for, and what it would cover."""

    allowance: Allowance
    available: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What one tenant consumed of one model on one day."""

    day: date
    model: str
    requests: int
    blocked_requests: int
    input_tokens: int
    output_tokens: int
    cost_micros: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """How an allowance stands."""

    allowance: Allowance
    used: int
    reserved: int
    resets: datetime


class Ledger(Protocol):
    """Keeps the accounts of all tenants.

    A caller that is cancelled does not interrupt the end of a hold.
    """

    async def hold(
        self,
        tenant: str,
        request_id: str,
        amount: Amount,
        allowances: Sequence[Allowance],
        *,
        ttl_s: float,
    ) -> Shortage | None:
        """Set an amount aside, if every allowance covers it beside what is used and held."""

    async def release(self, tenant: str, request_id: str) -> None:
        """End a hold without booking anything; harmless if there is none."""

    async def settle(self, charge: Charge) -> None:
        """Book what a request consumed and end its hold; settling twice books once."""

    async def rows(self, tenant: str, first: date, last: date) -> list[Row]:
        """What a tenant consumed, by day and model."""

    async def balances(self, tenant: str, allowances: Sequence[Allowance]) -> list[Balance]:
        """How a tenant's allowances stand."""


def utc_now() -> datetime:
    """The time by which periods begin and end."""
    return datetime.now(UTC)


def period_key(period: Period, now: datetime) -> str:
    """The name of the period that this moment is in."""
    return _name(period, now.date())


@lru_cache(maxsize=8)
def _name(period: Period, day: date) -> str:
    return day.strftime("%Y-%m-%d" if period is Period.DAY else "%Y-%m")


def resets(period: Period, now: datetime) -> datetime:
    """When the period that this moment is in ends."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if period is Period.DAY:
        return midnight + timedelta(days=1)
    days = calendar.monthrange(now.year, now.month)[1]
    return midnight.replace(day=1) + timedelta(days=days)


class MemoryLedger:
    """The accounts of one process; they end with it."""

    def __init__(self, *, now: Callable[[], datetime] = utc_now) -> None:
        """Go by this clock."""
        self._now = now
        self._held: dict[str, dict[str, tuple[Amount, datetime]]] = {}
        self._used: dict[tuple[str, str], Amount] = {}
        self._rows: dict[tuple[str, date, str], Row] = {}
        self._settled: dict[str, datetime] = {}

    async def hold(
        self,
        tenant: str,
        request_id: str,
        amount: Amount,
        allowances: Sequence[Allowance],
        *,
        ttl_s: float,
    ) -> Shortage | None:
        """As the protocol says."""
        balances = await self.balances(tenant, allowances)
        for balance in balances:
            available = balance.allowance.limit - balance.used - balance.reserved
            if amount.of(balance.allowance.unit) > available:
                return Shortage(balance.allowance, max(0, available))
        until = self._now() + timedelta(seconds=ttl_s)
        self._held.setdefault(tenant, {})[request_id] = (amount, until)
        return None

    async def release(self, tenant: str, request_id: str) -> None:
        """As the protocol says."""
        self._held.get(tenant, {}).pop(request_id, None)

    async def settle(self, charge: Charge) -> None:
        """As the protocol says."""
        now = self._now()
        self._held.get(charge.tenant, {}).pop(charge.request_id, None)
        if charge.request_id in self._settled:
            return
        self._remember(charge.request_id, now)
        for period in Period:
            key = (charge.tenant, period_key(period, now))
            self._used[key] = self._used.get(key, Amount()) + charge.amount
        self._book(charge, now.date())

    async def rows(self, tenant: str, first: date, last: date) -> list[Row]:
        """As the protocol says."""
        return sorted(
            (
                row
                for (owner, day, _), row in self._rows.items()
                if owner == tenant and first <= day <= last
            ),
            key=lambda row: (row.day, row.model),
        )

    async def balances(self, tenant: str, allowances: Sequence[Allowance]) -> list[Balance]:
        """As the protocol says."""
        now = self._now()
        holds = {
            name: (amount, until)
            for name, (amount, until) in self._held.get(tenant, {}).items()
            if until > now
        }
        self._held[tenant] = holds
        held = sum((amount for amount, _ in holds.values()), Amount())
        return [
            Balance(
                allowance=allowance,
                used=self._used.get((tenant, period_key(allowance.period, now)), Amount()).of(
                    allowance.unit
                ),
                reserved=held.of(allowance.unit),
                resets=resets(allowance.period, now),
            )
            for allowance in allowances
        ]

    def _book(self, charge: Charge, day: date) -> None:
        key = (charge.tenant, day, charge.model)
        row = self._rows.get(key)
        self._rows[key] = Row(
            day=day,
            model=charge.model,
            requests=(row.requests if row else 0) + 1,
            blocked_requests=(row.blocked_requests if row else 0) + charge.blocked,
            input_tokens=(row.input_tokens if row else 0) + charge.input_tokens,
            output_tokens=(row.output_tokens if row else 0) + charge.output_tokens,
            cost_micros=(row.cost_micros if row else 0) + charge.cost_micros,
        )

    def _remember(self, request_id: str, now: datetime) -> None:
        self._settled[request_id] = now
        if len(self._settled) > _REMEMBERED:
            del self._settled[next(iter(self._settled))]


# Request names that a second settlement may come for; it follows the first within minutes.
_REMEMBERED = 10_000
