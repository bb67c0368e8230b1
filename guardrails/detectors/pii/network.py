"""Addresses of machines, which lead to persons; and places on the map."""

from __future__ import annotations

import ipaddress
from typing import Final

from guardrails.rules import Context, Rule

__all__ = ["RULES"]


def _is_ip(text: str) -> bool:
    address, _, prefix = text.partition("/")
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if prefix and int(prefix) > parsed.max_prefixlen:
        return False
    # `a::b` is an address, and far more often a name in a program.
    is_name = parsed.version == 6 and not any(char.isdigit() for char in address)
    return not (is_name or parsed.is_unspecified or parsed.is_loopback)


def _is_coordinates(text: str) -> bool:
    latitude, longitude = (float(part) for part in text.replace(",", " ").split())
    return abs(latitude) <= 90 and abs(longitude) <= 180


RULES: Final = (
    Rule(
        id="pii.ipv4",
        category="IP_ADDRESS",
        pattern=(r"(?<![\w.-])(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?:/[0-9]{1,3})?(?![\w/-])(?!\.[0-9])"),
        accept=_is_ip,
        score=0.8,
    ),
    Rule(
        id="pii.ipv6",
        category="IP_ADDRESS",
        hint="[0-9A-Fa-f]{0,4}:[0-9A-Fa-f]{0,4}:",
        pattern=(
            r"(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){2,7}(?:[0-9A-Fa-f]{1,4}|(?:[0-9]{1,3}\.){3}[0-9]{1,3})?"
            r"(?:/[0-9]{1,3})?(?![\w:/])(?!\.[0-9])"
        ),
        accept=_is_ip,
        score=0.8,
    ),
    Rule(
        id="pii.mac",
        category="MAC_ADDRESS",
        pattern=(
            r"(?<![\w:-])(?:[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5}|[0-9A-Fa-f]{2}(?:-[0-9A-Fa-f]{2}){5}"
            r"|[0-9A-Fa-f]{4}(?:\.[0-9A-Fa-f]{4}){2})(?![\w:-])"
        ),
        score=0.85,
    ),
    Rule(
        id="pii.coordinates",
        category="COORDINATES",
        pattern=(r"(?<![\w.,-])-?[0-9]{1,2}\.[0-9]{4,10}, ?-?[0-9]{1,3}\.[0-9]{4,10}(?![\w.])"),
        accept=_is_coordinates,
        score=0.55,
        context=Context(words=("lat", "coord", "gps", "location", "position", "geo"), score=0.9),
    ),
)
