"""Keys of cached values: a tenant, and a digest of everything that the value depends on."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.answer import Request

__all__ = ["answer_key", "verdict_key"]


def answer_key(request: Request, revision: str) -> str:
    """For the model's answer to a request: same weights, same prompt, same sampling."""
    digest = _of_messages(request)
    for part in (revision, request.max_new_tokens, request.sampling):
        _add(digest, part)
    return f"{{{request.tenant}}}:answer:{digest.hexdigest()}"


def verdict_key(request: Request, policy_digest: str) -> str:
    """For the verdict on a prompt under one version of a policy."""
    digest = _of_messages(request)
    _add(digest, policy_digest)
    return f"{{{request.tenant}}}:verdict:{digest.hexdigest()}"


def _of_messages(request: Request) -> hashlib._Hash:
    digest = hashlib.sha256()
    for message in request.messages:
        _add(digest, message.role.value)
        _add(digest, message.text)
    return digest


def _add(digest: hashlib._Hash, part: object) -> None:
    """Add a part with its length, so that no two lists of parts read alike."""
    data = part if isinstance(part, bytes) else repr(part).encode(errors="surrogatepass")
    digest.update(len(data).to_bytes(8, "big"))
    digest.update(data)
