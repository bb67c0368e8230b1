"""Speed of the engine, alone or beside what a user would pick instead.

`scripts/bench engine` measures our engine. With `--peers` it also installs transformers,
llama.cpp and OpenVINO GenAI into environments of their own and measures them in the same run: every
engine is a process that answers tasks, and each round gives the same task to one after the other.
The best round of each counts, because other programs on the machine only ever add time.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import venv
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from rich.console import Console
from rich.table import Table

from inference.models import smollm2
from vedette import home

HERE = Path(__file__).parent
POINTS = {"1": 1, "8": 8, "32": 32}
PROMPT_TOKENS, PREFILL_TOKENS = 64, 1024

# The AMX path of llama.cpp crashes on this model; AVX-512 is its fastest that works.
LLAMA_CPP_BUILD = (
    "-DGGML_NATIVE=OFF -DGGML_AVX512=ON -DGGML_AVX512_VNNI=ON -DGGML_AVX512_BF16=ON "
    "-DGGML_AVX512_VBMI=ON"
)


@dataclass
class Engine:
    """One engine in a process of its own."""

    name: str
    command: list[str]
    best: dict[str, float] = field(default_factory=dict)
    resident_mib: int = 0

    def __enter__(self) -> Self:
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
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)

    def measure(self, point: str, task: dict[str, Any], tokens: int) -> None:
        """Do a task; keep the best rate."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(task) + "\n")
        self._process.stdin.flush()
        answer = self._read()
        self.best[point] = max(self.best.get(point, 0.0), tokens / answer["seconds"])
        self.resident_mib = answer["resident_mib"]

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
    parser.add_argument("--peers-dir", type=Path, help="keep the peers' environments here")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--new-tokens", type=int, default=64, help="tokens of each answer")
    parser.add_argument("--json", type=Path, help="write the figures and ratios to this file")
    options = parser.parse_args()
    folder = smollm2.obtain(home.models_dir())
    with tempfile.TemporaryDirectory() as temporary:
        engines = [
            Engine("vedette", [sys.executable, "engine_vedette.py", str(folder)]),
            Engine("vedette bf16", [sys.executable, "engine_vedette.py", str(folder), "none"]),
        ]
        if options.peers:
            engines += peers(options.peers_dir or Path(temporary), folder)
        measured = run(engines, options.rounds, options.new_tokens)
    report(measured)
    if options.json:
        options.json.write_text(json.dumps(figures(measured), indent=2) + "\n")
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


def run(engines: list[Engine], rounds: int, new_tokens: int) -> list[Engine]:
    """Give every engine every task, one engine after the other, and that several times."""
    source = random.Random(7)
    for engine in engines:
        engine.__enter__()
    try:
        for number in range(rounds + 1):
            for point, task, tokens in tasks(source, new_tokens):
                for engine in engines:
                    engine.measure(point, task, tokens)
            if number == 0:  # warm-up
                for engine in engines:
                    engine.best.clear()
            print(f"round {number} of {rounds} done", file=sys.stderr, flush=True)
    finally:
        for engine in engines:
            engine.__exit__()
    return engines


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
    ours, others = engines[0], engines[2:]
    ratios = {
        point: ours.best[point] / max(other.best[point] for other in others)
        for point in ours.best
        if others
    }
    return {
        "tokens_per_s": {engine.name: engine.best for engine in engines},
        "resident_mib": {engine.name: engine.resident_mib for engine in engines},
        "ratios": ratios,
    }


def report(engines: list[Engine]) -> None:
    """A table of tokens per second."""
    table = Table(title="SmolLM2-135M-Instruct, greedy, tokens/s in all (best round)")
    for column in ("engine", "1 stream", "8 streams", "32 streams", "prefill", "resident MiB"):
        table.add_column(column, justify="right")
    for engine in engines:
        rates = [f"{engine.best[point]:,.0f}" for point in (*POINTS, "prefill")]
        table.add_row(engine.name, *rates, f"{engine.resident_mib:,}")
    ratios = figures(engines)["ratios"]
    if ratios:
        table.add_row("ours / best peer", *(f"{ratios[p]:.2f}" for p in (*POINTS, "prefill")), "")
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
