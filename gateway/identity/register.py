"""The access file: roles, tenants, and the credentials that stand for them, in TOML.

It holds no secret: keys are there as SHA-256 digests. A key is made of 32 random bytes, so a
plain digest is enough; there is nothing to guess.
"""

from __future__ import annotations

import tomllib
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from gateway.budget.prices import Price
from gateway.identity.caller import ANY, Caller
from gateway.terms import Allowance, GuardLoss, Period, Priority, Terms, Unit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gateway.budget.prices import PriceList

__all__ = ["Certificate", "Key", "Register", "RegisterError", "Tokens", "read"]

Name = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[\w.@:/-]+$")]
KeyId = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[\w-]+$")]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Limit = Annotated[int, Field(ge=1)]
# Only signatures by a key pair: a shared secret could be confused with a public key.
Algorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"
]


class RegisterError(Exception):
    """The access file is wrong; the text says where, for the operator."""


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Role(_Entry):
    """What a group of callers may use."""

    rpcs: tuple[Name, ...] = (ANY,)
    models: tuple[str, ...] = (ANY,)
    policies: tuple[Name, ...] = ()


class Budget(_Entry):
    """The most that a tenant may consume in a period."""

    period: Period
    unit: Unit
    limit: Limit


class Tenant(_Entry):
    """One customer of the gateway: its limits, and the roles of its credentials."""

    roles: tuple[Name, ...] = ()
    requests_per_minute: Limit | None = None
    tokens_per_minute: Limit | None = None
    max_concurrent: Limit | None = None
    priority: Literal["low", "normal", "high"] = "normal"
    guard_loss: GuardLoss | None = None
    budgets: tuple[Budget, ...] = ()

    @property
    def terms(self) -> Terms:
        """The tenant's limits as the rest of the gateway knows them."""
        return Terms(
            requests_per_minute=self.requests_per_minute,
            tokens_per_minute=self.tokens_per_minute,
            max_concurrent=self.max_concurrent,
            priority=Priority[self.priority.upper()],
            guard_loss=self.guard_loss,
            allowances=tuple(
                Allowance(period=budget.period, unit=budget.unit, limit=budget.limit)
                for budget in self.budgets
            ),
        )


class _Credential(_Entry):
    tenant: Name
    # Empty for the tenant's own.
    roles: tuple[Name, ...] = ()
    revoked: bool = False
    expires: datetime | None = None


class Key(_Credential):
    """An API key."""

    id: KeyId
    sha256: Digest


class Certificate(_Credential):
    """A client certificate, known by one of its subject alternative names."""

    name: str = Field(min_length=1, max_length=512)


class Tokens(_Entry):
    """Which JSON Web Tokens are believed."""

    issuer: str = Field(min_length=1)
    audience: str = Field(min_length=1)
    algorithms: tuple[Algorithm, ...] = Field(("RS256", "ES256", "EdDSA"), min_length=1)
    # A file, or an https address.
    jwks: str = Field(min_length=1)
    tenant_claim: str = "tenant"
    roles_claim: str = "roles"
    leeway_s: float = Field(5.0, ge=0, le=300)
    refresh_s: float = Field(300.0, ge=1)
    # The `jti` of tokens that are not believed any more.
    revoked: frozenset[str] = frozenset()


class ModelPrice(_Entry):
    """Millionths of the currency unit for a thousand tokens."""

    input_micros: int = Field(0, ge=0)
    output_micros: int = Field(0, ge=0)


class Register(_Entry):
    """Everything in the access file."""

    roles: dict[Name, Role] = Field(default_factory=dict)
    tenants: dict[Name, Tenant] = Field(default_factory=dict)
    keys: tuple[Key, ...] = ()
    certificates: tuple[Certificate, ...] = ()
    tokens: Tokens | None = None
    # ISO 4217; XXX is no currency.
    currency: str = Field("XXX", pattern=r"^[A-Z]{3}$")
    # By model name; `*` is the price of the others.
    prices: dict[str, ModelPrice] = Field(default_factory=dict)

    def caller(self, tenant: str, roles: tuple[str, ...] = ()) -> Caller | None:
        """The caller that a credential stands for; None if it grants nothing."""
        if tenant not in self.tenants:
            return None
        entry = self.tenants[tenant]
        granted = [self.roles[name] for name in roles or entry.roles if name in self.roles]
        if not granted:
            return None
        return Caller(
            tenant=tenant,
            rpcs=frozenset(rpc for role in granted for rpc in role.rpcs),
            models=frozenset(model for role in granted for model in role.models),
            policies=tuple(dict.fromkeys(name for role in granted for name in role.policies)),
            terms=entry.terms,
        )

    @property
    def tolerant(self) -> bool:
        """Whether some tenant can be answered without guardrails."""
        return any(tenant.guard_loss is not None for tenant in self.tenants.values())

    def fill(self, prices: PriceList) -> None:
        """Put this register's prices into effect."""
        prices.currency = self.currency
        prices.prices = {
            model: Price(input_micros=price.input_micros, output_micros=price.output_micros)
            for model, price in self.prices.items()
        }

    @model_validator(mode="after")
    def _refers_to_what_it_has(self) -> Self:
        problems = list(self._dangling())
        ids = [key.id for key in self.keys]
        problems += [f"keys: {name!r} is there twice" for name in set(ids) if ids.count(name) > 1]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _dangling(self) -> Iterator[str]:
        holders = [(f"tenants.{name}", tenant.roles) for name, tenant in self.tenants.items()]
        for entry in (*self.keys, *self.certificates):
            kind = "keys" if isinstance(entry, Key) else "certificates"
            holders.append((kind, entry.roles))
            if entry.tenant not in self.tenants:
                yield f"{kind}: there is no tenant {entry.tenant!r}"
        for where, roles in holders:
            yield from (f"{where}: no role {name!r}" for name in roles if name not in self.roles)


def read(path: Path) -> Register:
    """Read the access file.

    Raises:
        RegisterError: it cannot be read or is wrong.
    """
    try:
        return Register.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError) as error:
        raise RegisterError(f"{path.name} cannot be read: {type(error).__name__}") from error
    except tomllib.TOMLDecodeError as error:
        raise RegisterError(f"{path.name} is not TOML: {error}") from error
    except ValidationError as error:
        places = (
            f"{'.'.join(map(str, detail['loc'])) or 'the file'}: {detail['msg']}"
            for detail in error.errors(include_input=False)
        )
        raise RegisterError(f"{path.name}: " + "; ".join(places)) from error
