"""A tenant's limits around an answer: requests and tokens a minute, requests at once."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING

from gateway.limits.meters import Claim
from gateway.sizes import token_bound
from servicekit import names
from servicekit.errors import Exhausted

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from gateway.answer import Event, Request
    from gateway.limits.fallback import Limits
    from gateway.pipeline import Answerer
    from servicekit.deadline import Deadline

__all__ = ["Limited", "Toll"]

# A slot outlives the deadline by this, so that it never comes back while still in use.
_SLOT_MARGIN_S = 5.0
# How long a request holds its slot until some have been seen.
_FIRST_GUESS_S = 1.0


class Limited:
    """Lets a request through if its tenant's limits allow it, and says when they will if not."""

    def __init__(self, inner: Answerer, limits: Limits, *, assumed_new_tokens: int) -> None:
        """Guard this; requests that do not say how many tokens they want are taken to want some."""
        self._inner = inner
        self._limits = limits
        self._assumed_new_tokens = assumed_new_tokens
        self._held_s = _FIRST_GUESS_S

    def run(self, request: Request, deadline: Deadline) -> AsyncGenerator[Event]:
        """As the pipeline's.

        Raises:
            Exhausted: a limit is reached; `retry_after_s` says when it will not be.
        """
        terms = request.terms
        limited = terms.requests_per_minute or terms.tokens_per_minute or terms.max_concurrent
        return (self._limited if limited else self._inner.run)(request, deadline)

    async def _limited(self, request: Request, deadline: Deadline) -> AsyncGenerator[Event]:
        claims = await self._admitted(request, deadline)
        since_ns = request.journal.now_ns()
        try:
            async with aclosing(self._inner.run(request, deadline)) as events:
                async for event in events:
                    yield event
        finally:
            held_s = (request.journal.now_ns() - since_ns) / 1e9
            self._held_s += 0.1 * (held_s - self._held_s)
            await asyncio.shield(self._settle(request, claims))

    async def _admitted(self, request: Request, deadline: Deadline) -> list[Claim]:
        """Take a slot, and what the request may use; or neither."""
        with request.journal.begin(names.STEP_LIMITS, "refused") as step:
            await self._take_slot(request, deadline)
            try:
                claims = await self._take(request)
            except BaseException:
                await asyncio.shield(self._settle(request, []))
                raise
            step.outcome = "granted"
            return claims

    async def _take_slot(self, request: Request, deadline: Deadline) -> None:
        limit = request.terms.max_concurrent
        if limit is None:
            return
        free, degraded = await self._limits.take_slot(
            request.tenant,
            request.request_id,
            limit=limit,
            ttl_s=deadline.remaining_s() + _SLOT_MARGIN_S,
        )
        if degraded:
            request.journal.degraded("redis", "local_limits")
        if not free:
            raise Exhausted(
                "Too many requests of this tenant are under way.",
                reason="TOO_MANY_CONCURRENT_REQUESTS",
                retry_after_s=max(0.01, self._held_s / limit),
                quota="concurrent_requests",
            )

    async def _take(self, request: Request) -> list[Claim]:
        claims = self._claims(request)
        await _take(self._limits, request, claims)
        return claims

    def _claims(self, request: Request) -> list[Claim]:
        meter = _meter(request)
        claims = _request_claims(request)
        if (limit := request.terms.tokens_per_minute) is not None:
            wanted = token_bound(request) + (request.max_new_tokens or self._assumed_new_tokens)
            # What can never be granted whole is granted when the meter is full.
            amount = min(wanted, limit)
            claims.append(Claim(meter=f"{meter}:tokens_per_minute", amount=amount, limit=limit))
        return claims

    async def _settle(self, request: Request, claims: list[Claim]) -> None:
        """Return the slot, and the tokens that were claimed and not used."""
        usage = request.journal.usage
        used = usage.input_tokens + usage.output_tokens if usage else 0
        unused = [
            Claim(meter=claim.meter, amount=claim.amount - used, limit=claim.limit)
            for claim in claims
            if claim.meter.endswith(":tokens_per_minute") and claim.amount != used
        ]
        with request.journal.begin(names.STEP_GIVE_BACK, "done"):
            if unused:
                await self._limits.give_back(unused)
            if request.terms.max_concurrent is not None:
                await self._limits.release_slot(request.tenant, request.request_id)


class Toll:
    """The limit of requests a minute for calls that are not answered by a model."""

    def __init__(self, limits: Limits) -> None:
        """Count them with the others."""
        self._limits = limits

    async def pay(self, request: Request) -> None:
        """Count one request.

        Raises:
            Exhausted: the limit is reached; `retry_after_s` says when it will not be.
        """
        await _take(self._limits, request, _request_claims(request))


def _meter(request: Request) -> str:
    return f"{{{request.tenant}}}:{request.model}"


def _request_claims(request: Request) -> list[Claim]:
    limit = request.terms.requests_per_minute
    if limit is None:
        return []
    return [Claim(meter=f"{_meter(request)}:requests_per_minute", amount=1, limit=limit)]


async def _take(limits: Limits, request: Request, claims: list[Claim]) -> None:
    if not claims:
        return
    refusal, degraded = await limits.take(claims)
    if degraded:
        request.journal.degraded("redis", "local_limits")
    if refusal is not None:
        quota = claims[refusal.index].meter.rsplit(":", 1)[-1]
        raise Exhausted(
            f"The limit of {quota.replace('_', ' ')} is reached.",
            reason="RATE_LIMITED",
            retry_after_s=refusal.retry_after_s,
            quota=quota,
        )
