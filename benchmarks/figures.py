"""Figures from samples."""

from __future__ import annotations

__all__ = ["quantile", "unary_summary"]


def quantile(values: list[float], share: float) -> float:
    """The value below which this share of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def unary_summary(latencies_s: list[float], seconds: float) -> dict[str, float]:
    """Latency and throughput of calls that took so long in so many seconds."""
    return {
        "p50_ms": quantile(latencies_s, 0.5) * 1e3,
        "p99_ms": quantile(latencies_s, 0.99) * 1e3,
        "per_s": len(latencies_s) / seconds,
    }
