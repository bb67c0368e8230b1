"""The fused loop on a CUDA machine without network, in one command.

First correctness: greedy tokens against transformers' `generate` on small random models. Then
decode and prefill of a model shaped like Llama 3 8B with random weights, as bf16, NF4 and INT8, at
several batch sizes, with and without CUDA graphs, beside `generate` with the same weights and what
the measured copy bandwidth allows. `--tiny` runs the same program on a small shape on any device,
to prove the program itself; without a GPU a replay computes again.

Not here: attention over blocks in place; keys and values are gathered first.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from rich.console import Console
from rich.table import Table
from transformers import AutoModelForCausalLM, LlamaConfig

from inference.backends.llama import LlamaRunner, Stack, read_stack
from inference.backends.matrices import Bits, Dense
from inference.engine.runner import Row

if TYPE_CHECKING:
    from collections.abc import Callable

LLAMA_8B: dict[str, Any] = {
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128_256,
    "max_position_embeddings": 8192,
}
TINY = LLAMA_8B | {
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 1024,
}
BATCHES, CONTEXT, STEPS, PREFILL, BLOCK = (1, 8, 32, 128), 256, 24, 2048, 32


def main() -> int:
    """Check, measure, print."""
    parser = argparse.ArgumentParser(prog="scripts/bench gpu", description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="a small shape, to try the program")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    if not (torch.cuda.is_available() or options.tiny):
        print("no CUDA device here; --tiny tries the program without one", file=sys.stderr)
        return 1
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(0)
    check(device)
    torch.set_default_dtype(torch.bfloat16)
    config = LlamaConfig(**(TINY if options.tiny else LLAMA_8B), tie_word_embeddings=False)
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).eval()
    torch.set_default_dtype(torch.float32)
    results = measure(model, device, BATCHES[:2] if options.tiny else BATCHES)
    show(results, device)
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")
    return 0


def check(device: torch.device) -> None:
    """Greedy tokens in float32 equal those of `generate`, or the program stops."""
    config = LlamaConfig(**TINY)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).to(device).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    prompt = torch.randint(3, 1000, (1, 60), device=device)
    expected = model.generate(
        prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=24, do_sample=False
    )[0].tolist()
    dense = read_stack(model, Dense, Dense, joined=True)
    for replay in (False, True):
        runner = make_runner(model, dense, num_sequences=1, length=128, replay=replay)
        if greedy(runner, prompt[0].tolist(), len(expected)) != expected:
            raise SystemExit(f"greedy tokens differ from those of transformers ({replay=})")
    print("greedy tokens equal those of transformers' generate", flush=True)


def greedy(runner: LlamaRunner, tokens: list[int], length: int) -> list[int]:
    """A prompt, continued until it has so many tokens."""
    blocks, done = list(range(4)), 0
    while len(tokens) < length:
        logits = runner.forward([Row(0, tokens, done, len(tokens), blocks)])
        done = len(tokens)
        tokens.append(int(logits[0].argmax()))
    return tokens


def make_runner(
    model: Any, stack: Stack, *, num_sequences: int, length: int, replay: bool = False
) -> LlamaRunner:
    """A runner with room for these sequences."""
    return LlamaRunner(
        model,
        choose_stack=lambda _: stack,
        num_blocks=num_sequences * -(-length // BLOCK) + replay,
        block_size=BLOCK,
        context_length=max(length, PREFILL),
        replay=replay,
    )


def measure(model: Any, device: torch.device, batches: tuple[int, ...]) -> dict[str, Any]:
    """Tokens per second of each form at each batch size."""
    dense = partial(Dense, device=device)
    makers: dict[str, Callable[..., Any]] = {"bf16": dense}
    for name, bits in (("nf4", 4), ("int8", 8)):
        makers[name] = partial(Bits, device=device, bits=bits)
    bandwidth = copy_bandwidth(device)
    results: dict[str, Any] = {"bytes_per_s": bandwidth, "forms": {}}
    for name, maker in makers.items():
        # bitsandbytes quantizes what comes from the CPU.
        source = model if name == "bf16" else model.to("cpu")
        stack = read_stack(source, maker, dense, device=device, joined=True)
        source.to(device)
        figures = {f"decode {batch}": decode(model, stack, batch, device) for batch in batches}
        figures |= {
            f"graph {batch}": decode(model, stack, batch, device, replay=True) for batch in batches
        }
        figures["prefill"] = prefill(model, stack, device)
        figures["roofline 1"] = bandwidth / stack.num_bytes
        results["forms"][name] = figures
        print(name, {key: round(value) for key, value in figures.items()}, flush=True)
        del stack
    results["forms"]["generate bf16"] = {
        f"decode {batch}": generate(model, batch, device) for batch in batches
    }
    return results


def copy_bandwidth(device: torch.device) -> float:
    """Bytes per second that a large copy reads and writes."""
    source = torch.empty((1 << 30) if device.type == "cuda" else 1 << 26, dtype=torch.uint8)
    source = source.to(device)
    target = torch.empty_like(source)
    seconds = min(timed(lambda: target.copy_(source), device) for _ in range(5))
    return 2 * source.nbytes / seconds


def decode(
    model: Any, stack: Stack, batch: int, device: torch.device, *, replay: bool = False
) -> float:
    """Tokens per second with this many sequences of CONTEXT tokens."""
    runner = make_runner(model, stack, num_sequences=batch, length=CONTEXT, replay=replay)
    width = CONTEXT // BLOCK
    tokens = list(range(3, 3 + CONTEXT))
    rows = [
        Row(i, tokens, CONTEXT - 1, CONTEXT, range(i * width, (i + 1) * width))
        for i in range(batch)
    ]
    runner.forward(rows)
    seconds = min(timed(lambda: runner.forward(rows).argmax(-1), device) for _ in range(STEPS))
    return batch / seconds


def prefill(model: Any, stack: Stack, device: torch.device) -> float:
    """Tokens per second of one long prompt."""
    runner = make_runner(model, stack, num_sequences=1, length=PREFILL)
    row = Row(0, [5] * PREFILL, 0, PREFILL, range(PREFILL // BLOCK))
    return PREFILL / min(timed(lambda: runner.forward([row]), device) for _ in range(3))


def generate(model: Any, batch: int, device: torch.device) -> float:
    """Tokens per second of transformers' own loop, prefill included as it is short."""
    prompts = torch.randint(3, 1000, (batch, CONTEXT - STEPS), device=device)

    def work() -> None:
        model.generate(
            prompts,
            attention_mask=torch.ones_like(prompts),
            min_new_tokens=STEPS,
            max_new_tokens=STEPS,
            do_sample=False,
        )

    work()
    return batch * STEPS / timed(work, device)


def timed(work: Any, device: torch.device) -> float:
    """Seconds until the device has done it."""
    start_s = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start_s


def show(results: dict[str, Any], device: torch.device) -> None:
    """The table."""
    name = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    gigabytes = results["bytes_per_s"] / 1e9
    table = Table(title=f"tokens/s on {name}, copies at {gigabytes:,.0f} GB/s")
    points = list(results["forms"]["bf16"])
    table.add_column("form")
    for point in points:
        table.add_column(point, justify="right")
    for form, figures in results["forms"].items():
        table.add_row(form, *(f"{figures[p]:,.0f}" if p in figures else "" for p in points))
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
