"""What each form of the weights costs in quality: perplexity on this project's own prose.

Tokens are fed one by one, as in decoding, so that what is measured is what answers are made with.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from rich.console import Console
from rich.table import Table
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM

from inference.backends.llama import LlamaRunner, read_stack
from inference.backends.matrices import Bits, Dense, Int4, Int8, Packed
from inference.backends.native.library import load_kernels
from inference.backends.native.runner import NativeRunner
from inference.engine.runner import Row
from inference.models import smollm2
from vedette import home

if TYPE_CHECKING:
    from collections.abc import Callable

    from inference.backends.matrices import Matrix
    from inference.engine.runner import Runner

TEXTS = ("README.md", "docs/architecture.md", "docs/threat-model.md", "docs/operations.md")
WINDOWS, LENGTH, BLOCK = 24, 128, 32
PER_WINDOW = LENGTH // BLOCK


def main() -> int:
    """Print the table."""
    folder = smollm2.obtain(home.models_dir())
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    windows = read_windows(Tokenizer.from_file(str(folder / "tokenizer.json")))
    table = Table("form", "perplexity", "against bf16", "same greedy token as bf16")
    reference_loss, reference_choices = 0.0, torch.empty(0)
    for name, make in forms(model).items():
        loss, choices = measure(make(), windows)
        if name == "bf16":
            reference_loss, reference_choices = loss, choices
        same = (choices == reference_choices).float().mean().item()
        ratio = torch.tensor(loss - reference_loss).exp().item()
        perplexity = torch.tensor(loss).exp().item()
        table.add_row(name, f"{perplexity:.3f}", f"{100 * (ratio - 1):+.2f} %", f"{same:.1%}")
    Console().print(table)
    return 0


def forms(model: Any) -> dict[str, Callable[[], Runner]]:
    """Makers of runners, each with the weights in another form; bfloat16 first."""
    num_blocks = WINDOWS * PER_WINDOW

    def through_torch(matrix: Callable[..., Matrix], head: Callable[..., Matrix]) -> Runner:
        stack = read_stack(model, matrix, head)
        return LlamaRunner(
            model,
            choose_stack=lambda _: stack,
            num_blocks=num_blocks,
            block_size=BLOCK,
            context_length=LENGTH,
        )

    plain = Packed if Packed.is_available(torch.bfloat16) else Dense
    nf4, int8 = (partial(Bits, device=torch.device("cpu"), bits=bits) for bits in (4, 8))
    made: dict[str, Callable[[], Runner]] = {
        "bf16": partial(through_torch, plain, plain),
        "int4 g32, int8 head": partial(through_torch, Int4, Int8),
        "int8 by row": partial(through_torch, Int8, Int8),
        "bitsandbytes nf4": partial(through_torch, nf4, plain),
        "bitsandbytes int8": partial(through_torch, int8, plain),
    }
    kernels = load_kernels(home.models_dir())
    if kernels is not None:
        made["own kernels: int8 weights and activations"] = partial(
            NativeRunner, model, kernels, num_blocks=num_blocks, context_length=LENGTH
        )
    return made


def read_windows(tokenizer: Tokenizer) -> list[list[int]]:
    """Stretches of the project's documents, evenly spread over them."""
    root = Path(__file__).parent.parent
    text = "\n\n".join((root / name).read_text() for name in TEXTS)
    tokens = tokenizer.encode(text, add_special_tokens=False).ids
    stride = (len(tokens) - LENGTH) // WINDOWS
    return [tokens[i * stride : i * stride + LENGTH] for i in range(WINDOWS)]


def measure(runner: Runner, windows: list[list[int]]) -> tuple[float, torch.Tensor]:
    """The mean loss over all windows, and the likeliest token at each place."""
    losses, choices = [], []
    for place in range(LENGTH - 1):
        rows = [
            Row(i, w[: place + 1], place, place + 1, range(i * PER_WINDOW, (i + 1) * PER_WINDOW))
            for i, w in enumerate(windows)
        ]
        logits = runner.forward(rows)
        expected = torch.tensor([window[place + 1] for window in windows])
        losses.append(torch.nn.functional.cross_entropy(logits, expected))
        choices.append(logits.argmax(-1))
    return torch.stack(losses).mean().item(), torch.stack(choices)


if __name__ == "__main__":
    sys.exit(main())
