"""What the gateway counts: answers, caches, breakers, degradations, budgets.

Labels are names from the deployment, never what a caller wrote: the model is the one that
answered, a tenant is one of the access file.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from opentelemetry.metrics import CallbackOptions, Observation

from gateway.state.shared import StateLostError
from servicekit import instruments, names
from servicekit.metrics import Bounded

if TYPE_CHECKING:
    from opentelemetry.metrics import Meter

    from gateway.answer import Final as FinalEvent
    from gateway.answer import Request
    from gateway.budget.ledger import Balance, Ledger
    from gateway.failure.breaker import Breaker
    from gateway.identity.access import Access
    from gateway.journal import Journal

__all__ = ["BudgetWatch", "GatewayMetrics", "answering_model"]

_CACHES: Final = (names.STEP_CACHE, names.STEP_VERDICT_CACHE)
_STATES: Final = {"closed": 0, "half-open": 1, "open": 2}
# No model has answered.
_NO_MODEL: Final = "none"
_LOOK_EVERY_S: Final = 15.0


def answering_model(journal: Journal) -> str:
    """The model that answered; until one accepts, a name is only what the caller wrote."""
    return journal.model or _NO_MODEL


class GatewayMetrics:
    """Told of each request once, when it has ended; what it came to stands in its journal."""

    def __init__(self, meter: Meter) -> None:
        """Record with this meter."""
        self._durations = instruments.ANSWER_DURATION.histogram(meter)
        self._first_texts = instruments.ANSWER_FIRST_TEXT.histogram(meter)
        self._tokens = instruments.ANSWER_TOKENS.histogram(meter)
        self._lookups = instruments.CACHE_LOOKUPS.counter(meter)
        self._degradations = instruments.DEGRADATIONS.counter(meter)
        self._wasted = instruments.WASTED_TOKENS.counter(meter)
        self._models = Bounded()
        self._breakers: list[Breaker] = []
        instruments.BREAKER_STATE.observed(meter, self._look_at_breakers)

    def watch(self, breaker: Breaker) -> None:
        """Show this breaker's state from now on."""
        self._breakers.append(breaker)

    def breakers(self) -> list[tuple[str, str]]:
        """Each breaker's name and its state now."""
        return [(breaker.name, breaker.state) for breaker in self._breakers]

    def first_text(self, request: Request, model: str) -> None:
        """The first text of a streamed answer is being released."""
        waited_s = request.journal.now_ns() / 1e9
        self._first_texts.record(waited_s, self._labels(model))

    def ended(self, request: Request, final: FinalEvent | None) -> None:
        """A request has ended; without a Final it failed or was cancelled."""
        journal = request.journal
        labels = self._labels(answering_model(journal))
        reason = final.finish_reason.name.lower() if final is not None else "unfinished"
        self._durations.record(journal.now_ns() / 1e9, labels | {names.FINISH_REASON: reason})
        if journal.usage is not None:
            usage = journal.usage
            for kind, count in (("input", usage.input_tokens), ("output", usage.output_tokens)):
                self._tokens.record(count, labels | {names.GEN_AI_TOKEN_TYPE: kind})
        for step in journal.steps:
            if step.name in _CACHES:
                found = {names.CACHE: step.name, names.STEP_OUTCOME: step.outcome}
                self._lookups.add(1, found)
        for degradation in journal.degradations:
            how = {names.DEGRADED_PART: degradation.part, names.DEGRADED_MODE: degradation.mode}
            self._degradations.add(1, how)
        if journal.wasted_tokens:
            self._wasted.add(journal.wasted_tokens)

    def _labels(self, model: str) -> dict[str, str]:
        return {
            names.GEN_AI_OPERATION: "chat",
            names.GEN_AI_PROVIDER: "vedette",
            names.GEN_AI_RESPONSE_MODEL: self._models(model),
        }

    def _look_at_breakers(self, _options: CallbackOptions) -> list[Observation]:
        return [
            Observation(_STATES[state], {names.BREAKER: name}) for name, state in self.breakers()
        ]


class BudgetWatch:
    """Shows how much of each tenant's budgets is left, as of a few seconds ago."""

    def __init__(self, meter: Meter, ledger: Ledger, access: Access) -> None:
        """Ask this ledger about the tenants of this register."""
        self._ledger = ledger
        self._access = access
        self._tenants = Bounded()
        self._balances: dict[str, list[Balance]] = {}
        instruments.BUDGET_LEFT.observed(meter, self._look)

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            with suppress(StateLostError):  # what was known stays
                await self.refresh()
            await asyncio.sleep(_LOOK_EVERY_S)

    async def refresh(self) -> None:
        """Look once.

        Raises:
            StateLostError: the shared ledger cannot be read now.
        """
        found = {}
        for name, tenant in self._access.register.tenants.items():
            allowances = tenant.terms.allowances
            if allowances and self._tenants(name) == name:
                found[name] = await self._ledger.balances(name, allowances)
        self._balances = found

    def _look(self, _options: CallbackOptions) -> list[Observation]:
        return [
            Observation(
                max(0, limit - balance.used - balance.reserved) / limit,
                {
                    names.TENANT: tenant,
                    names.BUDGET_PERIOD: balance.allowance.period.value,
                    names.BUDGET_UNIT: balance.allowance.unit.value,
                },
            )
            for tenant, balances in self._balances.items()
            for balance in balances
            for limit in (balance.allowance.limit,)
        ]
