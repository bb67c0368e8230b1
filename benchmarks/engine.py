"""Speed of the engine, alone or beside what a user would pick instead.

`scripts/bench engine` measures our engine. With `--peers` it also installs transformers,
llama.cpp and OpenVINO GenAI into environments of their own and measures them in the same run: every
engine is a process that answers tasks, and each round gives the same task to one after the other.
The best round of each counts, because other programs on the machine only ever add time. A peer that
is less than half as fast as another at some point is not measured there again.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import time
import venv
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

from rich.console import Console
from rich.table import Table

from benchmarks import engine_serving
from benchmarks.figures import quantile
from inference.models import smollm2
from vedette import home

HERE = Path(__file__).parent
POINTS = {"1": 1, "8": 8, "32": 32}
PROMPT_TOKENS, PREFILL_TOKENS, _WARM_UP_TOKENS = 64, 1024, 4

# The AMX path of llama.cpp crashes on this model; AVX-512 is its fastest that works.
LLAMA_CPP_BUILD = (
    "-DGGML_NATIVE=OFF -DGGML_AVX512=ON -DGGML_AVX512_VNNI=ON -DGGML_AVX512_BF16=ON "
    "-DGGML_AVX512_VBMI=ON"
)


@dataclass
class Point:
    """What an engine did at one point, round by round."""

    rates: list[float] = field(default_factory=list)
    first_ms: list[float] = field(default_factory=list)  # time to first token
    between_ms: list[float] = field(default_factory=list)  # inter-token latency

    def add(self, times: list[list[float]], tokens: int) -> None:
        """Take on a round in which so many tokens count."""
        self.rates.append(tokens / max(stream[-1] for stream in times))
        self.first_ms += [1e3 * stream[0] for stream in times]
        self.between_ms += [1e3 * (b - a) for stream in times for a, b in pairwise(stream)]

    def figures(self) -> dict[str, Any]:
        """The best and every rate, and quantiles of the latencies."""
        return {
            "tokens_per_s": max(self.rates),
            "rounds": self.rates,
            "first_token_ms": _quantiles(self.first_ms),
            "inter_token_ms": _quantiles(self.between_ms),
        }


@dataclass
class Engine:
    """One engine in a process of its own."""

    name: str
    command: list[str]
    is_peer: bool = True
    points: dict[str, Point] = field(default_factory=dict)
    start_s: float = 0.0
    memory: dict[str, int] = field(default_factory=dict)

    def __enter__(self) -> Self:
        began_s = time.perf_counter()
        self._process = subprocess.Popen(
            self.command,
            cwd=HERE,
            env=os.environ | {"PYTHONPATH": str(HERE.parent)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._read()
        self.start_s = time.perf_counter() - began_s
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)

    def do(self, task: dict[str, Any]) -> list[list[float]]:
        """Do a task; when each token of each stream was there."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(task) + "\n")
        self._process.stdin.flush()
        answer = self._read()
        times: list[list[float]] = answer.pop("times")
        self.memory = answer
        return times

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{"):
                answer: dict[str, Any] = json.loads(line)
                return answer
        raise RuntimeError(f"{self.name} ended before it answered")


def main() -> int:
    """Measure what the arguments ask for."""
    parser = argparse.ArgumentParser(prog="scripts/bench engine", description=__doc__)
    parser.add_argument("--peers", action="store_true", help="measure the peers in the same run")
    parser.add_argument(
        "--peers-dir",
        type=Path,
        default=home.models_dir().parent / "peers",
        help="where the peers' environments are or will be (default: %(default)s)",
    )
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--new-tokens", type=int, default=128, help="tokens of each answer")
    parser.add_argument("--serving", action="store_true", help="the RPC and the whole stack, too")
    parser.add_argument("--plain", action="store_true", help="our engine in bfloat16 as well")
    parser.add_argument("--json", type=Path, help="write the figures and ratios to this file")
    options = parser.parse_args()
    folder = smollm2.obtain(home.models_dir())
    engines = [Engine("vedette", [sys.executable, "engine_vedette.py", str(folder)], is_peer=False)]
    if options.plain:
        command = [sys.executable, "engine_vedette.py", str(folder), "none"]
        engines.append(Engine("vedette bf16", command, is_peer=False))
    if options.peers:
        engines += peers(options.peers_dir, folder)
    run(engines, options.rounds, options.new_tokens)
    report(engines, options.new_tokens)
    measured = figures(engines)
    if options.serving:
        serving = engine_serving.compare(
            ways=engine_serving.WAYS,
            streams=engine_serving.STREAMS,
            rounds=options.rounds,
            new_tokens=options.new_tokens,
        )
        measured["serving"] = asyncio.run(serving)
        engine_serving.report(measured["serving"])
    if options.json:
        options.json.write_text(json.dumps(measured, indent=2) + "\n")
    return 0


def peers(folder: Path, weights: Path) -> list[Engine]:
    """The peers, each in an environment of its own."""
    gguf = folder / "model.gguf"
    if not gguf.exists():
        gguf.parent.mkdir(parents=True, exist_ok=True)
        gguf.write_bytes(smollm2.read_gguf())
    openvino = environment(folder / "openvino", ["openvino-genai==2026.4.*"])
    llama_cpp = environment(folder / "llama_cpp", ["llama-cpp-python"], CMAKE_ARGS=LLAMA_CPP_BUILD)
    return [
        Engine("transformers", [sys.executable, "engine_transformers.py", str(weights)]),
        Engine("llama.cpp", [str(llama_cpp), "engine_llama_cpp.py", str(gguf)]),
        Engine("openvino", [str(openvino), "engine_openvino.py", str(gguf)]),
    ]


def environment(folder: Path, packages: list[str], **variables: str) -> Path:
    """The interpreter of a virtual environment that holds these packages."""
    python = folder / "bin" / "python"
    if not python.exists():
        print(f"installing {' '.join(packages)} …", file=sys.stderr, flush=True)
        venv.create(folder, with_pip=True)
        subprocess.run(
            [str(python), "-m", "pip", "install", "--quiet", *packages],
            env=os.environ | variables,
            check=True,
        )
    return python


def run(engines: list[Engine], rounds: int, new_tokens: int) -> None:
    """Give every engine every task, one engine after the other, and that several times."""
    source = random.Random(7)
    with ExitStack() as running:
        for engine in engines:
            say(f"starting {engine.name}")
            running.enter_context(engine)
        for point, task, _ in tasks(source, _WARM_UP_TOKENS):
            for engine in engines:
                say(f"warming up: {point}, {engine.name}")
                engine.do(task)
        for number in range(1, rounds + 1):
            for point, task, tokens in tasks(source, new_tokens):
                for engine in engines:
                    if not is_beaten(engine, point, engines):
                        seen = engine.points.setdefault(point, Point())
                        seen.add(engine.do(task), tokens)
                        rate = f"{engine.name} {seen.rates[-1]:,.0f} tokens/s"
                        say(f"round {number} of {rounds}, {point}: {rate}")
    say("")


def is_beaten(engine: Engine, point: str, engines: list[Engine]) -> bool:
    """Whether a peer is so far behind another that measuring it again tells nothing."""
    if not engine.is_peer or point not in engine.points:
        return False
    return max(engine.points[point].rates) < best_peer(point, engines) / 2


def best_peer(point: str, engines: list[Engine]) -> float:
    """The best rate of any peer at a point so far."""
    return max(max(e.points[point].rates) for e in engines if e.is_peer and point in e.points)


def tasks(source: random.Random, new_tokens: int) -> list[tuple[str, dict[str, Any], int]]:
    """The points to measure: name, task, tokens that count."""
    listed = [
        (point, task(source, streams, PROMPT_TOKENS, new_tokens), streams * new_tokens)
        for point, streams in POINTS.items()
    ]
    return [*listed, ("prefill", task(source, 1, PREFILL_TOKENS, 1), PREFILL_TOKENS)]


def task(source: random.Random, streams: int, prompt: int, new: int) -> dict[str, Any]:
    """Prompts of random tokens: no engine can have them in a cache."""
    prompts = [[source.randrange(20, 40_000) for _ in range(prompt)] for _ in range(streams)]
    return {"prompts": prompts, "new_tokens": new}


def figures(engines: list[Engine]) -> dict[str, Any]:
    """Everything measured, and ours over the best peer."""
    ours = engines[0]
    ratios = {
        point: max(seen.rates) / best_peer(point, engines)
        for point, seen in ours.points.items()
        if any(engine.is_peer for engine in engines)
    }
    measured = {
        engine.name: {
            "points": {point: seen.figures() for point, seen in engine.points.items()},
            "start_s": engine.start_s,
            **engine.memory,
        }
        for engine in engines
    }
    return {"ratios": ratios, "engines": measured}


def report(engines: list[Engine], new_tokens: int) -> None:
    """Two tables: tokens per second, and latencies."""
    names = (*POINTS, "prefill")
    rates = Table(
        "engine",
        *("1 stream", "8 streams", "32 streams", "prefill", "MiB", "MiB at most", "start"),
        title=f"SmolLM2-135M-Instruct, greedy, prompts of {PROMPT_TOKENS} tokens, answers of "
        f"{new_tokens}: tokens/s in all (best round)",
    )
    late = Table(
        "engine",
        *("first token, 1 stream", "8", "32", "next token, 1 stream", "8", "32"),
        title="milliseconds at p50 / p95 / p99 over all rounds",
    )
    for engine in engines:
        cells = [f"{max(engine.points[point].rates):,.0f}" for point in names]
        memory = [f"{engine.memory[key]:,}" for key in ("resident_mib", "peak_mib")]
        rates.add_row(engine.name, *cells, *memory, f"{engine.start_s:.1f} s")
        seen = [engine.points[point].figures() for point in POINTS]
        kinds = ("first_token_ms", "inter_token_ms")
        late.add_row(
            engine.name,
            *(" / ".join(f"{v:.1f}" for v in f[kind].values()) for kind in kinds for f in seen),
        )
    ratios = figures(engines)["ratios"]
    if ratios:
        rates.add_row("ours / best peer", *(f"{ratios[point]:.2f}" for point in names))
    Console().print(rates, late)


def say(what: str) -> None:
    """Progress, on one line of a terminal."""
    if sys.stderr.isatty():
        print(f"\r\033[K{what}", end="", file=sys.stderr, flush=True)
    elif what:
        print(what, file=sys.stderr, flush=True)


def _quantiles(values: list[float]) -> dict[str, float]:
    """Nothing where nothing was measured, as between the tokens of an answer of one."""
    return {f"p{p}": quantile(values, p / 100) for p in (50, 95, 99)} if values else {}


if __name__ == "__main__":
    sys.exit(main())
