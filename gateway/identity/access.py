"""From a call's metadata and certificate to its caller, or a refusal."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from gateway.identity.caller import Caller
from gateway.identity.keys import PREFIX, Keys
from gateway.identity.tokens import KeySet, TokenRefusedError, verify
from servicekit.errors import InvalidArgument, PermissionDenied, Unauthenticated, Violation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from gateway.identity.register import Certificate, Key, Register
    from servicekit.errors import Fault

__all__ = ["Access", "Identity", "LocalAccess", "RefusedError"]

# Verdicts are made here. Metadata that looks like one is either an attack or a mistake.
_RESERVED = ("x-vedette-", "x-guard", "vedette-")
_SAN = "x509_subject_alternative_name"


class RefusedError(Exception):
    """A call is refused. `cause` is for the log and holds nothing of the credential."""

    def __init__(self, cause: str, fault: Fault) -> None:
        """Tell the log the cause and the caller the fault."""
        self.cause = cause
        self.fault = fault
        super().__init__(cause)


class Identity(Protocol):
    """Knows callers."""

    def caller(
        self,
        rpc: str,
        metadata: Mapping[str, str | bytes],
        certificate: Mapping[str, Iterable[bytes]],
    ) -> Caller:
        """Who makes this call.

        Raises:
            RefusedError: nobody who may.
        """


class LocalAccess:
    """One machine, one tenant, no credentials; for a gateway that only this machine can reach."""

    def caller(
        self,
        rpc: str,  # noqa: ARG002 - may be any
        metadata: Mapping[str, str | bytes],
        certificate: Mapping[str, Iterable[bytes]],  # noqa: ARG002 - is not asked for
    ) -> Caller:
        """The tenant `local`."""
        _refuse_reserved(metadata)
        return Caller(tenant="local")


class Access:
    """Callers by the access file."""

    def __init__(self, register: Register, *, now: Callable[[], datetime] | None = None) -> None:
        """Go by this register until another is given."""
        self._now = now or (lambda: datetime.now(UTC))
        self.key_set: KeySet | None = None
        self.replace(register)

    def replace(self, register: Register) -> None:
        """Go by this register from the next call on."""
        self.register = register
        self._keys = Keys(register.keys)
        self._certificates = {entry.name: entry for entry in register.certificates}
        tokens = register.tokens
        if tokens is None:
            self.key_set = None
        elif self.key_set is None or self.key_set.source != tokens.jwks:
            self.key_set = KeySet(tokens.jwks)

    def caller(
        self,
        rpc: str,
        metadata: Mapping[str, str | bytes],
        certificate: Mapping[str, Iterable[bytes]],
    ) -> Caller:
        """Who makes this call; a credential in the metadata goes before the certificate.

        Raises:
            RefusedError: there is no valid credential, or it does not suffice.
        """
        _refuse_reserved(metadata)
        caller = self._authenticated(metadata, certificate)
        if not caller.may_call(rpc):
            raise RefusedError("rpc_not_allowed", PermissionDenied())
        return caller

    def _authenticated(
        self, metadata: Mapping[str, str | bytes], certificate: Mapping[str, Iterable[bytes]]
    ) -> Caller:
        header = metadata.get("authorization")
        if header is None:
            return self._by_certificate(certificate)
        scheme, _, credential = str(header).partition(" ")
        if scheme.lower() != "bearer" or not credential:
            raise _unauthenticated("malformed")
        if credential.startswith(PREFIX):
            return self._entered(self._keys.find(credential), "unknown_key")
        return self._by_token(credential)

    def _by_certificate(self, certificate: Mapping[str, Iterable[bytes]]) -> Caller:
        for name in certificate.get(_SAN, ()):
            entry = self._certificates.get(name.decode(errors="replace"))
            if entry is not None:
                return self._entered(entry, "")
        raise _unauthenticated("no_credential")

    def _by_token(self, token: str) -> Caller:
        rules = self.register.tokens
        if rules is None or self.key_set is None:
            raise _unauthenticated("unknown_kind")
        try:
            claims = verify(token, rules, self.key_set)
        except TokenRefusedError as refusal:
            raise _unauthenticated(f"token_{refusal.cause}") from None
        roles = claims.get(rules.roles_claim, ())
        named = tuple(str(role) for role in roles) if isinstance(roles, list) else ()
        if not named:
            raise _unauthenticated("token_without_roles")
        return self._granted(str(claims.get(rules.tenant_claim, "")), named)

    def _entered(self, entry: Key | Certificate | None, unknown: str) -> Caller:
        if entry is None:
            raise _unauthenticated(unknown)
        if entry.revoked:
            raise _unauthenticated("revoked")
        if entry.expires is not None and _utc(entry.expires) <= self._now():
            raise _unauthenticated("expired")
        return self._granted(entry.tenant, entry.roles)

    def _granted(self, tenant: str, roles: tuple[str, ...]) -> Caller:
        caller = self.register.caller(tenant, roles)
        if caller is None:
            raise _unauthenticated("grants_nothing")
        return caller


def _utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _unauthenticated(cause: str) -> RefusedError:
    # One answer for every cause: a stranger learns nothing about which credentials exist.
    return RefusedError(cause, Unauthenticated())


def _refuse_reserved(metadata: Mapping[str, str | bytes]) -> None:
    if any(key.startswith(_RESERVED) for key in metadata):
        rule = "metadata that names a verdict is not accepted; leave out x-guard*, x-vedette-*"
        fault = InvalidArgument([Violation("", rule)], reason="RESERVED_METADATA")
        raise RefusedError("reserved_metadata", fault)
