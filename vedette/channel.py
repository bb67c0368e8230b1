"""How this client connects."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import grpc

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["open_channel"]

_SERVICE: Final = "vedette.gateway.v1.GatewayService"
_READS: Final = ("CountTokens", "GetUsage", "GetDecision")

_SERVICE_CONFIG: Final[dict[str, Any]] = {
    # Spreads calls over every gateway behind a name; the default keeps to the first.
    "loadBalancingConfig": [{"round_robin": {}}],
    # Stops retrying while most calls fail, so that retries never multiply an outage.
    "retryThrottling": {"maxTokens": 10, "tokenRatio": 0.1},
    "methodConfig": [
        {
            # Only what changes nothing is sent again: an answer costs tokens.
            "name": [{"service": _SERVICE, "method": method} for method in _READS],
            "retryPolicy": {
                "maxAttempts": 3,
                "initialBackoff": "0.05s",
                "maxBackoff": "0.5s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ],
}

_OPTIONS: Final[tuple[tuple[str, int | str], ...]] = (
    ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
    # A long prompt is silent while it is computed: ping, so that middleboxes keep the connection
    # and a dead one is noticed. The services allow a ping every ten seconds.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # An answer with log-probabilities outgrows the default of 4 MiB.
    ("grpc.max_receive_message_length", 32 * 1024 * 1024),
)


def open_channel(target: str, *, tls: grpc.ChannelCredentials | None = None) -> grpc.aio.Channel:
    """A channel to a gateway; it connects with the first call. Without `tls` it is plain text."""
    options: Sequence[tuple[str, int | str]] = _OPTIONS
    if tls is None:
        return grpc.aio.insecure_channel(target, options=options)
    return grpc.aio.secure_channel(target, tls, options=options)
