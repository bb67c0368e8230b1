"""What models cost."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.budget.ledger import Amount

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Price", "PriceList"]

_PER_TOKENS = 1_000
# The entry for models that have none of their own.
_OTHERS = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """Millionths of the currency unit for a thousand tokens."""

    input_micros: int = 0
    output_micros: int = 0

    def of(self, input_tokens: int, output_tokens: int) -> int:
        """What these tokens cost, in millionths, rounded up."""
        thousandfold = input_tokens * self.input_micros + output_tokens * self.output_micros
        return -(-thousandfold // _PER_TOKENS)

    def affordable_output(self, cost_micros: int, *, input_tokens: int) -> int:
        """How many tokens of output this much pays for, beside that input; may be negative."""
        rest = cost_micros * _PER_TOKENS - input_tokens * self.input_micros
        if rest < 0:
            return -1
        return rest // self.output_micros if self.output_micros else 2**31


@dataclass(slots=True)
class PriceList:
    """The price of each model, in one currency. Exchanged as a whole when prices change."""

    prices: Mapping[str, Price] = field(default_factory=dict)
    # ISO 4217's code for no currency.
    currency: str = "XXX"

    def price(self, model: str) -> Price:
        """The price of a model; nothing if there is none."""
        return self.prices.get(model) or self.prices.get(_OTHERS) or Price()

    def amount(self, model: str, input_tokens: int, output_tokens: int) -> Amount:
        """Tokens with what they cost."""
        cost_micros = self.price(model).of(input_tokens, output_tokens)
        return Amount(tokens=input_tokens + output_tokens, cost_micros=cost_micros)
