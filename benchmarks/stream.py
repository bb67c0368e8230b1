"""What the streaming guard costs a token, and what it holds back.

    scripts/bench stream [--policy default] [--lengths 100,1000,5000,20000] [--json FILE]

Feeds answers of so many tokens, token by token, through a window of the policy's output direction
in this process. By length of the answer: microseconds a delta at p50 and p99, characters held back
after each delta, and after how many further tokens a token's last character is released. The cost
is also given for the first and the last tenth of each answer, to show that it does not grow.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.figures import quantile
from benchmarks.texts import prose, tokens
from guardrails.detectors import builtin
from guardrails.findings import Direction, Role
from guardrails.policy import PolicyStore

if TYPE_CHECKING:
    from guardrails.policy.compiled import CompiledPolicy

CHARS_A_TOKEN = 4.3


def answer(policy: CompiledPolicy, pieces: list[str]) -> dict[str, float]:
    """Figures of one answer."""
    window = policy.open(direction=Direction.OUTPUT, role=Role.ASSISTANT, clock=time.perf_counter)
    costs_us: list[float] = []
    held: list[float] = []
    delays: list[float] = []
    waiting: list[tuple[int, int]] = []
    arrived = released = 0
    for number, piece in enumerate(pieces):
        start_s = time.perf_counter()
        release = window.push(piece)
        costs_us.append((time.perf_counter() - start_s) * 1e6)
        arrived += len(piece)
        released += len(release.text)
        held.append(arrived - released)
        waiting.append((number, arrived))
        while waiting and waiting[0][1] <= released:
            delays.append(number - waiting.pop(0)[0])
    window.finish()
    tenth = max(1, len(costs_us) // 10)
    return {
        "p50_us": quantile(costs_us, 0.5),
        "p99_us": quantile(costs_us, 0.99),
        "first_tenth_p50_us": quantile(costs_us[:tenth], 0.5),
        "last_tenth_p50_us": quantile(costs_us[-tenth:], 0.5),
        "held_chars_p50": quantile(held, 0.5),
        "held_chars_p99": quantile(held, 0.99),
        "delay_tokens_p50": quantile(delays, 0.5),
        "delay_tokens_p99": quantile(delays, 0.99),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--policy", default="default")
    parser.add_argument("--lengths", default="100,1000,5000,20000", help="tokens, with commas")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    store = PolicyStore(
        folder=None,
        default_name=options.policy,
        detectors={detector.name: detector for detector in builtin()},
    )
    figures: dict[str, Any] = {}
    for length in map(int, options.lengths.split(",")):
        pieces = tokens(prose(round(length * CHARS_A_TOKEN)))[:length]
        figures[str(length)] = answer(store.default, pieces)
        print(f"{length:>6} tokens ", json.dumps(figures[str(length)]))
    if options.json:
        options.json.write_text(json.dumps({"rules only": figures}, indent=2) + "\n")


if __name__ == "__main__":
    main()
