"""A caller, once known."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field

from gateway.terms import Terms

__all__ = ["ANY", "CALLER", "Caller"]

# Grants every name.
ANY = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """On whose behalf a call is made, and what it may use."""

    tenant: str
    rpcs: frozenset[str] = frozenset({ANY})
    models: frozenset[str] = frozenset({ANY})
    # The first one applies to requests that name none; empty for those open to everyone.
    policies: tuple[str, ...] = ()
    terms: Terms = field(default=Terms())

    def may_call(self, rpc: str) -> bool:
        """Whether this caller may use an RPC, by its short name."""
        return ANY in self.rpcs or rpc in self.rpcs

    def may_use(self, model: str) -> bool:
        """Whether this caller may use a model."""
        return ANY in self.models or model in self.models


# The caller of the RPC that is being answered.
CALLER: ContextVar[Caller] = ContextVar("caller")
