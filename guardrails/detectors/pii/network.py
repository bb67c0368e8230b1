"""Addresses of machines, which lead to persons; and places on the map.

Loopback and unspecified addresses (`127.0.0.1`, `::1`, `0.0.0.0`) say nothing about anybody, but
are addresses to whoever counts them: they have a score of 0.5, every other address 0.8, so that a
policy finds them at the usual threshold and leaves them alone at any above it.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final

from guardrails.rules import Context, Rule

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

__all__ = ["RULES"]


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ipaddress.ip_address(text.partition("/")[0])
    except ValueError:
        return None


def _is_ip(text: str) -> bool:
    address = _address(text)
    if address is None:
        return False
    # `a::b` is an address, and far more often a name in a program.
    is_name = address.version == 6 and "/" not in text and not any(map(str.isdigit, text))
    return not (is_name or address.is_unspecified or address.is_loopback)


def _is_own(text: str) -> bool:
    address = _address(text)
    return address is not None and (address.is_unspecified or address.is_loopback)


def _without_impossible_prefix(text: str) -> tuple[int, int]:
    """`10.0.0.0/123` is an address with something behind it."""
    address, _, prefix = text.partition("/")
    longest = 32 if ":" not in address else 128
    return (0, len(address)) if prefix and int(prefix) > longest else (0, len(text))


def _is_coordinates(text: str) -> bool:
    latitude, longitude = (float(part) for part in text.replace(",", " ").split())
    return abs(latitude) <= 90 and abs(longitude) <= 180


RULES: Final = (
    Rule(
        id="pii.ipv4",
        category="IP_ADDRESS",
        pattern=(r"(?<![\w.-])(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?:/[0-9]{1,3})?(?![\w/-])(?!\.[0-9])"),
        accept=_is_ip,
        narrow=_without_impossible_prefix,
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
        narrow=_without_impossible_prefix,
        score=0.8,
    ),
    Rule(
        id="pii.ip_of_itself",
        category="IP_ADDRESS",
        pattern=(
            r"(?<![\w.-])(?:127(?:\.[0-9]{1,3}){3}|0\.0\.0\.0)(?:/[0-9]{1,3})?(?![\w/-])(?!\.[0-9])"
            r"|(?<![\w:.])(?:(?:0{1,4}:){7}0{0,3}[01]|::1(?:/[0-9]{1,3})?|::/[0-9]{1,3})(?![\w:/])"
        ),
        accept=_is_own,
        narrow=_without_impossible_prefix,
        score=0.5,
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
