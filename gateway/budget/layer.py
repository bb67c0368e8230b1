"""A tenant's budget around an answer: hold, answer, settle.

The most that a request may consume is held before any work. If the budget does not cover what
the request asks for, the request is given what it does cover, and an answer that ends there ends
with FINISH_REASON_BUDGET. What was consumed is booked before the caller sees the end.
"""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from gateway.answer import Final, FinishReason
from gateway.budget.ledger import Charge, resets, utc_now
from gateway.sizes import token_bound
from gateway.terms import Unit
from servicekit import names
from servicekit.errors import Exhausted

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from datetime import datetime

    from gateway.answer import Event, Request
    from gateway.budget.ledger import Ledger, Shortage
    from gateway.budget.prices import PriceList
    from gateway.pipeline import Answerer
    from servicekit.deadline import Deadline

__all__ = ["Budgeted", "Counter"]

# A hold outlives the deadline by this, so that it never ends while the request goes on.
_HOLD_MARGIN_S = 10.0
# Requests that consumed nothing are booked under no model: a name may be anything then.
_NO_MODEL = "none"


class Counter(Protocol):
    """Counts tokens exactly."""

    async def count(self, request: Request, deadline: Deadline) -> int:
        """How many tokens the prompt has."""


class Budgeted:
    """Lets no tenant consume more than its allowances."""

    def __init__(  # noqa: PLR0913 - each is a part
        self,
        inner: Answerer,
        *,
        ledger: Ledger,
        prices: PriceList,
        counter: Counter,
        assumed_new_tokens: int,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        """Account for this; requests that do not say how many tokens they want get some."""
        self._inner = inner
        self._ledger = ledger
        self._prices = prices
        self._counter = counter
        self._assumed_new_tokens = assumed_new_tokens
        self._now = now

    async def run(self, request: Request, deadline: Deadline) -> AsyncGenerator[Event]:
        """As the pipeline's.

        Raises:
            Exhausted: a budget has nothing left for this request.
        """
        covered = request
        if request.terms.allowances:
            try:
                with request.journal.begin(names.STEP_BUDGET, "refused") as step:
                    covered = await self._held(request, deadline)
                    step.outcome = "held"
            except BaseException:
                await self._ledger.release(request.tenant, request.request_id)
                raise
        final: Final | None = None
        try:
            async with aclosing(self._inner.run(covered, deadline)) as events:
                async for event in events:
                    if not isinstance(event, Final):
                        yield event
                        continue
                    final = self._cut_off(event, request, covered)
                    await self._settle(covered, final)
                    yield final
        finally:
            if final is None:
                await self._settle(covered, None)

    async def _held(self, request: Request, deadline: Deadline) -> Request:
        """The request with as many new tokens as the budget covers, and those set aside."""
        wanted = request.max_new_tokens or self._assumed_new_tokens
        input_tokens, exact = token_bound(request), False
        while True:
            shortage = await self._ledger.hold(
                request.tenant,
                request.request_id,
                self._prices.amount(request.model, input_tokens, wanted),
                request.terms.allowances,
                ttl_s=deadline.remaining_s() + _HOLD_MARGIN_S,
            )
            if getattr(self._ledger, "degraded", False):
                request.journal.degraded("redis", "local_budget")
            if shortage is None:
                return replace(request, max_new_tokens=wanted)
            covered = self._covered(shortage, request.model, input_tokens)
            if covered >= 1:
                wanted = min(wanted - 1, covered)
            elif not exact:
                # The bound is far above most prompts; near the limit it pays to count.
                input_tokens, exact = await self._counter.count(request, deadline), True
            else:
                raise self._exhausted(shortage)
            if wanted < 1:
                raise self._exhausted(shortage)

    def _covered(self, shortage: Shortage, model: str, input_tokens: int) -> int:
        if shortage.allowance.unit is Unit.TOKENS:
            return shortage.available - input_tokens
        price = self._prices.price(model)
        return price.affordable_output(shortage.available, input_tokens=input_tokens)

    def _exhausted(self, shortage: Shortage) -> Exhausted:
        period, now = shortage.allowance.period, self._now()
        return Exhausted(
            f"The tenant's budget for this {period.value} is used up.",
            reason="BUDGET_EXHAUSTED",
            retry_after_s=(resets(period, now) - now).total_seconds(),
            quota=f"{period.value}:{shortage.allowance.unit.value}",
        )

    def _cut_off(self, final: Final, request: Request, covered: Request) -> Final:
        wanted = request.max_new_tokens or self._assumed_new_tokens
        given = covered.max_new_tokens
        if given is None or given >= wanted or final.finish_reason is not FinishReason.LENGTH:
            return final
        return replace(final, finish_reason=FinishReason.BUDGET)

    async def _settle(self, request: Request, final: Final | None) -> None:
        usage = request.journal.usage
        input_tokens = usage.input_tokens if usage else 0
        output_tokens = usage.output_tokens if usage else 0
        model = request.journal.model or _NO_MODEL
        amount = self._prices.amount(model, input_tokens, output_tokens)
        charge = Charge(
            request_id=request.request_id,
            tenant=request.tenant,
            model=model,
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            cost_micros=amount.cost_micros,
            blocked=final is not None and final.finish_reason is FinishReason.BLOCKED,
        )
        with request.journal.begin(names.STEP_SETTLE, "booked"):
            await self._ledger.settle(charge)
