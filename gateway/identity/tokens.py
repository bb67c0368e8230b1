"""JSON Web Tokens: verified against a key set that is kept fresh beside the event loop."""

from __future__ import annotations

import asyncio
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jwt

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.identity.register import Tokens

__all__ = ["KeySet", "TokenRefusedError", "verify"]

_FETCH_TIMEOUT_S = 5.0
# A token signed by an unknown key may mean that the issuer rotated; do not ask more often.
_SOONEST_REFRESH_S = 5.0


class TokenRefusedError(Exception):
    """A token is not believed; `cause` says why, for the log."""

    def __init__(self, cause: str) -> None:
        """Name the cause in a word."""
        self.cause = cause
        super().__init__(cause)


class KeySet:
    """The issuer's public keys by their id; empty until `refresh` succeeds once."""

    def __init__(self, source: str) -> None:
        """Read from this file or https address."""
        self.source = source
        self._keys: Mapping[str, jwt.PyJWK] = {}
        self._tried_s = -_SOONEST_REFRESH_S
        self.wanted = asyncio.Event()

    def find(self, key_id: str) -> jwt.PyJWK | None:
        """The key of this id; asks for a refresh if there is none."""
        key = self._keys.get(key_id)
        if key is None:
            self.wanted.set()
        return key

    async def refresh(self) -> None:
        """Read the source, in a thread; what was known stays if that fails.

        Raises:
            OSError: it cannot be read.
            jwt.PyJWTError: it is not a key set.
            ValueError: it is not JSON.
        """
        self.wanted.clear()
        self._tried_s = time.monotonic()
        self._keys = await asyncio.to_thread(_load, self.source)

    async def due(self, refresh_s: float) -> None:
        """Wait until a refresh is due: after `refresh_s`, or soon when a key was missing."""
        try:
            await asyncio.wait_for(self.wanted.wait(), refresh_s)
        except TimeoutError:
            return
        await asyncio.sleep(max(0.0, self._tried_s + _SOONEST_REFRESH_S - time.monotonic()))


def verify(token: str, rules: Tokens, keys: KeySet) -> dict[str, Any]:
    """The claims of a token that is to be believed.

    Raises:
        TokenRefusedError: it is not.
    """
    try:
        header = jwt.get_unverified_header(token)
    except jwt.InvalidTokenError as error:
        raise TokenRefusedError("malformed") from error
    if header.get("alg") not in rules.algorithms:
        raise TokenRefusedError("algorithm")
    key = keys.find(str(header.get("kid", "")))
    if key is None:
        raise TokenRefusedError("unknown_key")
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=list(rules.algorithms),
            audience=rules.audience,
            issuer=rules.issuer,
            leeway=rules.leeway_s,
            options={"require": ["exp", "aud", "iss"]},
        )
    except jwt.ExpiredSignatureError as error:
        raise TokenRefusedError("expired") from error
    except jwt.InvalidTokenError as error:
        raise TokenRefusedError(type(error).__name__) from error
    if claims.get("jti") in rules.revoked:
        raise TokenRefusedError("revoked")
    return claims


def _load(source: str) -> dict[str, jwt.PyJWK]:
    keys = jwt.PyJWKSet.from_json(_read(source)).keys
    return {key.key_id: key for key in keys if key.key_id}


def _read(source: str) -> str:
    if not source.startswith("https://"):
        return Path(source).read_text(encoding="utf-8")
    with urllib.request.urlopen(source, timeout=_FETCH_TIMEOUT_S) as response:  # noqa: S310 - https
        body: bytes = response.read(1024 * 1024)
    return body.decode()
