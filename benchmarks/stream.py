"""What the streaming guard costs a token, and what it holds back.

    scripts/bench stream [--policy default] [--lengths 100,1000,5000,20000] [--json FILE]

Feeds answers of so many tokens, token by token, through a window of the policy's output direction
in this process: with its rules only, and with the classifiers `attacks` and `topics` beside them,
which are asked at once where a checkpoint is reached. By length of the answer: microseconds a
delta at p50 and p99, characters held back after each delta, and how long a token waits from its
arrival to its release, in further tokens and, if tokens come at `--tokens-per-s`, in milliseconds.
The cost is also given for the first and the last tenth of each answer, to show that it does not
grow. The classifiers find nothing in this prose, or would stop the answer.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.figures import quantile
from benchmarks.texts import prose, tokens
from guardrails.classifier import MODEL_FOLDER
from guardrails.classifier.session import ModelSession
from guardrails.detectors import builtin
from guardrails.findings import Direction, Role
from guardrails.policy import PolicyStore

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from guardrails.policy.compiled import CompiledPolicy
    from guardrails.window.window import GuardWindow

    Judge = Callable[[str], Mapping[str, float]]

CHARS_A_TOKEN = 4.3


CLASSIFIED = """
    attacks: {action: allow, threshold: 1.0}
    topics: {action: allow, threshold: 1.0}
"""


def pushed(window: GuardWindow, piece: str, judge: Judge) -> int:
    """Push a piece and answer what it asks; how many characters that released."""
    released = len(window.push(piece).text)
    while questions := window.pending():
        scores = {text: judge(text) for text in {question.text for question in questions}}
        for question in questions:
            released += len(window.resolve(question, scores[question.text]).text)
    return released


def answer(
    policy: CompiledPolicy, pieces: list[str], judge: Judge, *, tokens_per_s: float
) -> dict[str, float]:
    """Figures of one answer."""
    window = policy.open(direction=Direction.OUTPUT, role=Role.ASSISTANT, clock=time.perf_counter)
    costs_us: list[float] = []
    held: list[float] = []
    delays: list[float] = []
    delays_ms: list[float] = []
    waiting: deque[tuple[int, int]] = deque()
    arrived = released = 0
    for number, piece in enumerate(pieces):
        start_s = time.perf_counter()
        released += pushed(window, piece, judge)
        costs_us.append((time.perf_counter() - start_s) * 1e6)
        arrived += len(piece)
        held.append(arrived - released)
        waiting.append((number, arrived))
        while waiting and waiting[0][1] <= released:
            delays.append(number - waiting.popleft()[0])
            delays_ms.append(delays[-1] * 1e3 / tokens_per_s + costs_us[-1] / 1e3)
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
        "delay_ms_p50": quantile(delays_ms, 0.5),
        "delay_ms_p99": quantile(delays_ms, 0.99),
    }


def policies(name: str) -> tuple[CompiledPolicy, CompiledPolicy]:
    """The policy by this name, and the same with classifiers on its output."""
    detectors = {detector.name: detector for detector in builtin()}
    plain = PolicyStore(folder=None, default_name=name, detectors=detectors)
    packaged = Path(__file__).parents[1] / "guardrails" / "policies" / f"{name}.yaml"
    head, output = packaged.read_text().split("\noutput:\n  detectors:\n")
    with tempfile.TemporaryDirectory() as folder:
        text = f"{head}\noutput:\n  detectors:{CLASSIFIED}{output}"
        Path(folder, f"{name}.yaml").write_text(text)
        classified = PolicyStore(folder=Path(folder), default_name=name, detectors=detectors)
    return plain.default, classified.default


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--policy", default="default")
    parser.add_argument("--lengths", default="100,1000,5000,20000", help="tokens, with commas")
    parser.add_argument("--tokens-per-s", type=float, default=50.0, help="how fast a model writes")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    judge = ModelSession(MODEL_FOLDER).scores
    rules, both = policies(options.policy)
    figures: dict[str, Any] = {}
    for name, policy in (("rules only", rules), ("rules and classifiers", both)):
        figures[name] = {}
        for length in map(int, options.lengths.split(",")):
            pieces = tokens(prose(round(length * CHARS_A_TOKEN)))[:length]
            found = answer(policy, pieces, judge, tokens_per_s=options.tokens_per_s)
            figures[name][str(length)] = found
            shown = {key: round(value, 1) for key, value in found.items()}
            print(f"{name}, {length:>6} tokens ", json.dumps(shown), flush=True)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
