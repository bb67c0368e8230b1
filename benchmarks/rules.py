"""Throughput of the whole rule tier on one core.

    scripts/bench rules [--mb 4] [--text FILE] [--json FILE]

Reads ordinary prose and text dense with hits through every detector of rules, as a long prompt
goes: in slices, in one thread. Beside it, in the same run, `regex` applies the patterns of the
same detectors one after another to the same prose, without views, checksums or settling.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import regex

from benchmarks.texts import dense, prose
from guardrails.detectors import RuleDetector, builtin

# The longest slice that a service scans in one go.
SLICE_CHARS = 65_536


def _detectors() -> list[RuleDetector]:
    """Those that the packaged policies use."""
    rules = [detector for detector in builtin() if isinstance(detector, RuleDetector)]
    return [detector for detector in rules if detector.name != "names"]


def scan_s(detectors: list[RuleDetector], text: str) -> float:
    """Processor seconds for detectors to read a text, each slice by all of them in turn."""
    scans, start_s = [detector.open() for detector in detectors], time.process_time()
    for at in range(0, len(text), SLICE_CHARS):
        for scan in scans:
            scan.push(text[at : at + SLICE_CHARS], last=False, timeout_s=60)
    for scan in scans:
        scan.push("", last=True, timeout_s=60)
    return time.process_time() - start_s


def one_after_another_s(text: str) -> float:
    """Processor seconds for `regex` to apply every pattern by itself."""
    patterns = [regex.compile(rule.pattern) for detector in _detectors() for rule in detector.rules]
    start_s = time.process_time()
    for pattern in patterns:
        for _ in pattern.finditer(text):
            pass
    return time.process_time() - start_s


def measure(text: str, rounds: int = 5) -> dict[str, float]:
    """Megabytes a second, by detector and for all together; the best of some rounds."""
    megabytes = len(text.encode()) / 1e6
    alone = {detector.name: [detector] for detector in _detectors()}
    return {
        name: megabytes / min(scan_s(detectors, text) for _ in range(rounds))
        for name, detectors in (alone | {"all": _detectors()}).items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--mb", type=float, default=4.0, help="size of each text")
    parser.add_argument("--text", type=Path, help="prose to read instead of the built-in one")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    chars = round(options.mb * 1e6)
    plain = options.text.read_text()[:chars] if options.text else prose(chars)
    figures: dict[str, Any] = {
        "rules": sum(len(detector.rules) for detector in _detectors()),
        "prose_mb_s": measure(plain),
        "dense_mb_s": measure(dense(chars // 4)),
        "regex_one_after_another_mb_s": 0.1 / one_after_another_s(plain[:100_000]),
    }
    print(json.dumps(figures, indent=2))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
