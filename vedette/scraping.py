"""What the services' metrics say, as figures over time: read from their Prometheus pages.

A figure is taken over the last minute, because single seconds of a quiet machine say little.
"""

from __future__ import annotations

import math
import re
import threading
import time
import urllib.request
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from vedette.services import SERVICES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = ["Page", "Scraper", "figures", "parse"]

# Each series by its name and labels.
Page: TypeAlias = "dict[tuple[str, tuple[tuple[str, str], ...]], float]"

_LINE: Final = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)")
_LABEL: Final = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_OUTPUT: Final = {"gen_ai_token_type": "output"}
_WINDOW_S: Final = 60.0
_KEPT_S: Final = 3600.0
_EVERY_S: Final = 2.0
_TIMEOUT_S: Final = 1.0
_MAX_BYTES: Final = 4 * 1024 * 1024


def parse(text: str) -> Page:
    """The samples of a page; what makes no sense is left out."""
    page: Page = {}
    for line in text.splitlines():
        match = _LINE.match(line)
        if match is None:
            continue
        try:
            value = float(match[3])
        except ValueError:
            continue
        page[match[1], tuple(_LABEL.findall(match[2] or ""))] = value
    return page


def figures(before: Page, after: Page, *, seconds: float) -> dict[str, Any]:
    """What happened between two pages, so many seconds apart; None is for want of data."""
    change = _Change(before, after, seconds)
    answers = "gen_ai_client_operation_duration_seconds"
    return {
        "answers_per_s": change.rates(f"{answers}_count", "vedette_finish_reason"),
        "tokens_per_s": change.rate("gen_ai_client_token_usage_sum", **_OUTPUT),
        "latency_p50_ms": change.quantile_ms(answers, 0.5),
        "latency_p95_ms": change.quantile_ms(answers, 0.95),
        "first_p95_ms": change.quantile_ms(
            "gen_ai_client_operation_time_to_first_chunk_seconds", 0.95
        ),
        "queue_p95_ms": change.quantile_ms("vedette_inference_queue_duration_seconds", 0.95),
        "checks_per_s": change.rates(
            "vedette_guard_check_duration_seconds_count", "vedette_guard_action"
        ),
        "running": _now(after, "vedette_inference_sequences", vedette_sequence_state="running"),
        "waiting": _now(after, "vedette_inference_sequences", vedette_sequence_state="waiting"),
        "kv_usage": _now(after, "vedette_inference_kv_usage"),
    }


class Scraper:
    """The figures of the last hour; looks at most every other second, when somebody asks."""

    def __init__(
        self,
        addresses: Iterable[str] | None = None,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Look at these addresses; at the services' usual ones, or those of the environment."""
        usual = (service.metrics_address() for service in SERVICES)
        self._addresses = tuple(usual if addresses is None else addresses)
        self._clock = clock
        self._lock = threading.Lock()
        self._pages: deque[tuple[float, Page]] = deque()
        self._history: deque[dict[str, Any]] = deque()

    def latest(self) -> list[dict[str, Any]]:
        """The figures so far, the oldest first; none while no service shows its metrics."""
        with self._lock:
            now_s = self._clock()
            if not self._pages or now_s - self._pages[-1][0] >= _EVERY_S:
                self._look(now_s)
            return list(self._history)

    def _look(self, now_s: float) -> None:
        page: Page = {}
        for address in self._addresses:
            page |= _read(address)
        if not page:
            return
        self._pages.append((now_s, page))
        while len(self._pages) > 2 and self._pages[1][0] <= now_s - _WINDOW_S:
            self._pages.popleft()
        then_s, before = self._pages[0]
        if then_s < now_s:
            found = figures(before, page, seconds=now_s - then_s)
            self._history.append({"time_ms": now_s * 1000, **found})
        while self._history and self._history[0]["time_ms"] < (now_s - _KEPT_S) * 1000:
            self._history.popleft()


@dataclass(frozen=True, slots=True)
class _Change:
    before: Page
    after: Page
    seconds: float

    def rates(self, name: str, label: str) -> dict[str, float]:
        """How much a sum grew a second, by a label."""
        found: dict[str, float] = {}
        for key, growth in self._growths(name):
            value = dict(key).get(label, "")
            found[value] = found.get(value, 0.0) + growth / self.seconds
        return found

    def rate(self, name: str, **labels: str) -> float:
        """How much the sums with these labels grew a second."""
        return sum(g for key, g in self._growths(name) if _has(key, labels)) / self.seconds

    def quantile_ms(self, name: str, share: float) -> float | None:
        """A quantile of a distribution of seconds, in milliseconds: within its bucket, linear."""
        buckets: dict[float, float] = {}
        for key, growth in self._growths(f"{name}_bucket"):
            bound = float(dict(key).get("le", "inf"))
            buckets[bound] = buckets.get(bound, 0.0) + growth
        total = buckets.get(math.inf, 0.0)
        if total <= 0:
            return None
        low, below = 0.0, 0.0
        for bound, count in sorted(buckets.items()):
            if count >= share * total:
                if bound == math.inf:
                    return low * 1000
                within = (share * total - below) / max(count - below, 1e-9)
                return (low + (bound - low) * within) * 1000
            low, below = bound, count
        return None

    def _growths(self, name: str) -> Iterable[tuple[tuple[tuple[str, str], ...], float]]:
        for (found, labels), value in self.after.items():
            if found == name:
                # A service that was started again counts from nought.
                yield labels, max(0.0, value - self.before.get((found, labels), 0.0))


def _now(page: Page, name: str, **labels: str) -> float | None:
    found = [value for (n, key), value in page.items() if n == name and _has(key, labels)]
    return sum(found) if found else None


def _has(key: tuple[tuple[str, str], ...], labels: Mapping[str, str]) -> bool:
    return labels.items() <= dict(key).items()


def _read(address: str) -> Page:
    try:
        url = f"http://{address}/metrics"
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as response:
            return parse(response.read(_MAX_BYTES).decode(errors="replace"))
    except (OSError, ValueError):
        return {}
