"""Rates by the generic cell rate algorithm: smooth, one number a meter, exact about when to retry.

A meter keeps the *theoretical arrival time*: when its owner will have paid for all it took, at
the meter's pace. A claim is granted if it would be paid for within one period; a full period's
worth may therefore be taken at once, and afterwards it comes back at an even pace.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.state.shared import SharedState

__all__ = ["GRANTED", "Claim", "MemoryMeters", "Meters", "Refusal", "SharedMeters"]

_MANY_METERS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """So much of a meter that allows `limit` a period."""

    meter: str
    amount: int
    limit: int
    period_s: float = 60.0

    def scaled(self, factor: float) -> Claim:
        """The same claim on a meter that allows less, or more."""
        limit = max(1, int(self.limit * factor))
        amount = min(self.amount, limit)
        return Claim(meter=self.meter, amount=amount, limit=limit, period_s=self.period_s)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Which claim was refused, and when it could be granted if nobody else claims."""

    index: int
    retry_after_s: float


GRANTED: Refusal | None = None


class Meters(Protocol):
    """Grants claims, all of them or none."""

    async def take(self, claims: Sequence[Claim]) -> Refusal | None:
        """Take all the claims, or say which one cannot be granted yet."""

    async def give_back(self, claims: Sequence[Claim]) -> None:
        """Return what was taken and not needed; a negative amount takes more, come what may."""


class MemoryMeters:
    """Meters of one process."""

    def __init__(self, *, now: Callable[[], float] = time.monotonic) -> None:
        """Go by this clock, in seconds."""
        self._now = now
        self._paid_at_s: dict[str, float] = {}

    async def take(self, claims: Sequence[Claim]) -> Refusal | None:
        """As the protocol says."""
        now_s = self._now()
        paid_at_s = [self._after(claim, now_s) for claim in claims]
        for index, (claim, at_s) in enumerate(zip(claims, paid_at_s, strict=True)):
            wait_s = at_s - claim.period_s - now_s
            if wait_s > 1e-9:  # less is rounding
                return Refusal(index, wait_s)
        self._paid_at_s.update(
            (claim.meter, at_s) for claim, at_s in zip(claims, paid_at_s, strict=True)
        )
        self._forget_the_idle(now_s)
        return GRANTED

    async def give_back(self, claims: Sequence[Claim]) -> None:
        """As the protocol says."""
        for claim in claims:
            if claim.meter in self._paid_at_s:
                self._paid_at_s[claim.meter] -= claim.amount * claim.period_s / claim.limit

    def _after(self, claim: Claim, now_s: float) -> float:
        start_s = max(now_s, self._paid_at_s.get(claim.meter, now_s))
        return start_s + claim.amount * claim.period_s / claim.limit

    def _forget_the_idle(self, now_s: float) -> None:
        if len(self._paid_at_s) > _MANY_METERS:
            self._paid_at_s = {
                meter: at_s for meter, at_s in self._paid_at_s.items() if at_s > now_s
            }


class SharedMeters:
    """Meters that several gateways share; the same algorithm by the clock of Redis."""

    def __init__(self, state: SharedState, *, now: Callable[[], float] | None = None) -> None:
        """Keep the meters there; a clock is for tests."""
        self._take = state.script(_TAKE)
        self._give_back = state.script(_GIVE_BACK)
        self._now = now

    async def take(self, claims: Sequence[Claim]) -> Refusal | None:
        """As the protocol says.

        Raises:
            StateLostError: Redis cannot be asked.
        """
        index, wait_us = await self._take(*self._call(claims))
        return Refusal(int(index) - 1, int(wait_us) / 1e6) if int(index) else GRANTED

    async def give_back(self, claims: Sequence[Claim]) -> None:
        """As the protocol says.

        Raises:
            StateLostError: Redis cannot be asked.
        """
        await self._give_back(*self._call(claims))

    def _call(self, claims: Sequence[Claim]) -> tuple[list[str], list[float | str]]:
        keys = [f"vedette:v1:rate:{claim.meter}" for claim in claims]
        arguments: list[float | str] = ["" if self._now is None else self._now() * 1e6]
        for claim in claims:
            arguments += [claim.amount * claim.period_s / claim.limit * 1e6, claim.period_s * 1e6]
        return keys, arguments


_NOW = """
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end
"""
_TAKE = (
    _NOW
    + """
local paid_at = {}
for i, key in ipairs(KEYS) do
  local cost, period = tonumber(ARGV[2 * i]), tonumber(ARGV[2 * i + 1])
  local start = math.max(now, tonumber(redis.call('GET', key) or now))
  paid_at[i] = start + cost
  local wait = paid_at[i] - period - now
  if wait > 1 then
    return {i, math.ceil(wait)}
  end
end
for i, key in ipairs(KEYS) do
  local ttl_ms = math.ceil((paid_at[i] - now) / 1000)
  redis.call('SET', key, string.format('%.0f', paid_at[i]), 'PX', math.max(1, ttl_ms))
end
return {0, 0}
"""
)
_GIVE_BACK = (
    _NOW
    + """
for i, key in ipairs(KEYS) do
  local paid_at = tonumber(redis.call('GET', key) or nil)
  if paid_at then
    paid_at = paid_at - tonumber(ARGV[2 * i])
    local ttl_ms = math.ceil((paid_at - now) / 1000)
    redis.call('SET', key, string.format('%.0f', paid_at), 'PX', math.max(1, ttl_ms))
  end
end
return 0
"""
)
