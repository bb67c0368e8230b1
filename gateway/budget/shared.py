"""The ledger in Redis, shared by all gateways; scripts make each entry one step."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from gateway.budget.ledger import Balance, Row, Shortage, period_key, resets, utc_now
from gateway.terms import Period, Unit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from gateway.budget.ledger import Amount, Charge
    from gateway.state.shared import SharedState
    from gateway.terms import Allowance

__all__ = ["SharedLedger"]

_RETENTION_S = 400 * 24 * 3600
_SETTLED_S = 24 * 3600
_FIELDS = ("requests", "blocked", "input", "output", "cost")


class SharedLedger:
    """`gateway.budget.ledger.Ledger` in Redis. Everything of a tenant is in one hash slot."""

    def __init__(self, state: SharedState, *, now: Callable[[], datetime] = utc_now) -> None:
        """Keep the accounts there; periods go by this clock."""
        self._state = state
        self._now = now
        self._hold = state.script(_HELD + _HOLD)
        self._settle = state.script(_SETTLE)
        self._held = state.script(_HELD + "return {held.tokens, held.cost}")

    async def hold(
        self,
        tenant: str,
        request_id: str,
        amount: Amount,
        allowances: Sequence[Allowance],
        *,
        ttl_s: float,
    ) -> Shortage | None:
        """As the protocol says.

        Raises:
            StateLostError: Redis cannot be asked.
        """
        arguments: list[Any] = [
            self._now_ms(),
            request_id,
            int(ttl_s * 1000),
            amount.tokens,
            amount.cost_micros,
        ]
        for allowance in allowances:
            key_index = 2 if allowance.period is Period.DAY else 3
            arguments += [key_index, _name(allowance.unit), allowance.limit]
        index, available = await self._hold(self._keys(tenant), arguments)
        return Shortage(allowances[index - 1], max(0, available)) if index else None

    async def release(self, tenant: str, request_id: str) -> None:
        """As the protocol says.

        Raises:
            StateLostError: Redis cannot be asked; the hold ends when its time is up.
        """
        await self._state.ask("HDEL", f"{_prefix(tenant)}held", request_id)

    async def settle(self, charge: Charge) -> None:
        """As the protocol says.

        Raises:
            StateLostError: Redis cannot be asked; settle again later.
        """
        day = period_key(Period.DAY, self._now())
        keys = [
            *self._keys(charge.tenant),
            f"{_prefix(charge.tenant)}usage:{day}",
            f"{_prefix(charge.tenant)}settled:{charge.request_id}",
        ]
        row = (1, int(charge.blocked), charge.input_tokens, charge.output_tokens)
        arguments = [
            *(charge.request_id, charge.amount.tokens, charge.cost_micros),
            *(_RETENTION_S, _SETTLED_S, charge.model),
            *(*row, charge.cost_micros),
        ]
        await self._settle(keys, arguments)

    async def rows(self, tenant: str, first: date, last: date) -> list[Row]:
        """As the protocol says.

        Raises:
            StateLostError: Redis cannot be asked.
        """
        days = [first + timedelta(days=offset) for offset in range((last - first).days + 1)]
        rows = []
        for day in days:
            cells = await self._state.ask("HGETALL", f"{_prefix(tenant)}usage:{day.isoformat()}")
            rows += _rows(day, dict(cells))
        return rows

    async def balances(self, tenant: str, allowances: Sequence[Allowance]) -> list[Balance]:
        """As the protocol says.

        Raises:
            StateLostError: Redis cannot be asked.
        """
        now = self._now()
        tokens, cost = await self._held(self._keys(tenant), [self._now_ms()])
        balances = []
        for allowance in allowances:
            key = f"{_prefix(tenant)}used:{period_key(allowance.period, now)}"
            used = await self._state.ask("HGET", key, _name(allowance.unit))
            balances.append(
                Balance(
                    allowance=allowance,
                    used=int(used or 0),
                    reserved=int(tokens if allowance.unit is Unit.TOKENS else cost),
                    resets=resets(allowance.period, now),
                )
            )
        return balances

    def _keys(self, tenant: str) -> list[str]:
        now, prefix = self._now(), _prefix(tenant)
        return [f"{prefix}held"] + [f"{prefix}used:{period_key(p, now)}" for p in Period]

    def _now_ms(self) -> int:
        return int(self._now().timestamp() * 1000)


def _prefix(tenant: str) -> str:
    return f"vedette:v1:{{{tenant}}}:"


def _name(unit: Unit) -> str:
    return "tokens" if unit is Unit.TOKENS else "cost"


def _rows(day: date, cells: dict[str, str]) -> list[Row]:
    models = sorted({cell.partition("|")[2] for cell in cells})
    return [
        Row(
            day=day,
            model=model,
            **dict(
                zip(
                    (
                        "requests",
                        "blocked_requests",
                        "input_tokens",
                        "output_tokens",
                        "cost_micros",
                    ),
                    (int(cells.get(f"{field}|{model}", 0)) for field in _FIELDS),
                    strict=True,
                )
            ),
        )
        for model in models
    ]


# Sums the holds whose time is not up, and forgets the others.
_HELD = """
local now = tonumber(ARGV[1])
local held = {tokens = 0, cost = 0}
local holds = redis.call('HGETALL', KEYS[1])
for i = 1, #holds, 2 do
  local tokens, cost, until_ms = string.match(holds[i + 1], '(%d+):(%d+):(%d+)')
  if tonumber(until_ms) <= now then
    redis.call('HDEL', KEYS[1], holds[i])
  else
    held.tokens = held.tokens + tonumber(tokens)
    held.cost = held.cost + tonumber(cost)
  end
end
"""
_HOLD = """
local want = {tokens = tonumber(ARGV[4]), cost = tonumber(ARGV[5])}
for i = 6, #ARGV, 3 do
  local unit = ARGV[i + 1]
  local used = tonumber(redis.call('HGET', KEYS[tonumber(ARGV[i])], unit) or 0)
  local available = tonumber(ARGV[i + 2]) - used - held[unit]
  if want[unit] > available then
    return {(i - 3) / 3, available}
  end
end
local until_ms = now + tonumber(ARGV[3])
local value = string.format('%.0f:%.0f:%.0f', want.tokens, want.cost, until_ms)
redis.call('HSET', KEYS[1], ARGV[2], value)
return {0, 0}
"""
_SETTLE = """
redis.call('HDEL', KEYS[1], ARGV[1])
if not redis.call('SET', KEYS[5], 1, 'NX', 'EX', ARGV[5]) then
  return 0
end
for i = 2, 3 do
  redis.call('HINCRBY', KEYS[i], 'tokens', ARGV[2])
  redis.call('HINCRBY', KEYS[i], 'cost', ARGV[3])
  redis.call('EXPIRE', KEYS[i], ARGV[4])
end
for i, field in ipairs({'requests', 'blocked', 'input', 'output', 'cost'}) do
  redis.call('HINCRBY', KEYS[4], field .. '|' .. ARGV[6], ARGV[6 + i])
end
redis.call('EXPIRE', KEYS[4], ARGV[4])
return 1
"""
