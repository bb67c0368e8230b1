"""What GetUsage answers."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from gateway.budget.ledger import utc_now
from gateway.state.shared import StateLostError
from servicekit.errors import InvalidArgument, Unavailable, Violation

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from gateway.budget.ledger import Balance, Ledger, Row
    from gateway.budget.prices import PriceList
    from gateway.identity.caller import Caller

__all__ = ["UsageReport"]

_MOST_DAYS = 400


class UsageReport:
    """Reads the ledger for a caller."""

    def __init__(
        self, ledger: Ledger, prices: PriceList, *, now: Callable[[], datetime] = utc_now
    ) -> None:
        """Read this ledger; costs are in the price list's currency."""
        self._ledger = ledger
        self._prices = prices
        self._now = now

    @property
    def currency(self) -> str:
        """What costs are in millionths of."""
        return self._prices.currency

    async def of(
        self, caller: Caller, *, start_date: str, end_date: str, model: str
    ) -> tuple[list[Row], list[Balance]]:
        """What the caller's tenant consumed, and how its budgets stand.

        Raises:
            InvalidArgument: the dates are wrong.
            Unavailable: the shared ledger cannot be read now.
        """
        first, last = self._days(start_date, end_date)
        try:
            rows = await self._ledger.rows(caller.tenant, first, last)
            balances = await self._ledger.balances(caller.tenant, caller.terms.allowances)
        except StateLostError as error:
            raise Unavailable(reason="LEDGER_UNAVAILABLE", retry_after_s=1.0) from error
        return [row for row in rows if model in ("", row.model)], balances

    def _days(self, start_date: str, end_date: str) -> tuple[date, date]:
        violations = []
        days = {}
        for field, text in (("start_date", start_date), ("end_date", end_date)):
            try:
                days[field] = date.fromisoformat(text) if text else self._now().date()
            except ValueError:
                violations.append(Violation(field, "must be a date as YYYY-MM-DD, or empty"))
        if not violations:
            span = (days["end_date"] - days["start_date"]).days
            if span < 0:
                violations.append(Violation("end_date", "must not be before start_date"))
            if span >= _MOST_DAYS:
                rule = f"must be less than {_MOST_DAYS} days after start_date"
                violations.append(Violation("end_date", rule))
        if violations:
            raise InvalidArgument(violations)
        return days["start_date"], days["end_date"]
