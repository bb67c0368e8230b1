"""What each form of the weights costs in quality, against transformers in bfloat16.

    scripts/bench quality [--json FILE]

Perplexity on this project's own prose, fed token by token as in decoding, so that what is measured
is what answers are made with; and greedy answers to two dozen questions beside those of
transformers' `generate`: how many tokens they have in common until they part, and how many tokens
are equal place by place. `auto` is what the service runs by default on this machine; it may take
other kernels for one sequence than for many, so it is measured both ways.
"""

from __future__ import annotations

import os

os.environ.setdefault("GOMP_SPINCOUNT", "0")  # as the service has it; torch reads it once

import argparse
import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from rich.console import Console
from rich.table import Table
from transformers import AutoModelForCausalLM

from inference.app import load_model
from inference.engine.runner import Row
from inference.models import smollm2
from inference.models.chat import ChatMessage, Role
from inference.settings import InferenceSettings
from vedette import home

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inference.engine.runner import Runner
    from inference.models.chat import ChatTokenizer

__all__ = ["continuations", "encode", "loss", "reference_loss", "until_end", "windows"]

TEXTS = ("README.md", "docs/architecture.md", "docs/threat-model.md", "docs/operations.md")
WINDOWS, LENGTH, NEW_TOKENS = 8, 128, 24
# Form, quantization asked for, sequences that share a step.
FORMS = (
    ("bf16", "none", WINDOWS),
    ("auto, one sequence", "auto", 1),
    ("auto, 24 sequences", "auto", 24),
    ("nf4", "nf4", WINDOWS),
    ("int8", "int8", WINDOWS),
)
QUESTIONS = (
    "What is the capital of France?",
    "Name three primary colours.",
    "Explain in one sentence what a database index is.",
    "Write a haiku about rain.",
    "How do bees make honey?",
    "Translate 'good morning' into Spanish.",
    "What is 12 plus 30?",
    "List two uses of baking soda.",
    "Who wrote Romeo and Juliet?",
    "Give a short definition of photosynthesis.",
    "Why is the sky blue?",
    "Suggest a name for a small bakery.",
    "What does HTTP stand for?",
    "Describe the taste of a lemon.",
    "How many days are there in a leap year?",
    "Write a polite refusal to an invitation.",
    "What is the opposite of 'generous'?",
    "Name a river in Africa.",
    "Summarise the story of Cinderella in two sentences.",
    "What tools does a carpenter use?",
    "Explain what a mutex is.",
    "How do I boil an egg?",
    "Write the first line of a detective novel.",
    "What is the largest planet of the solar system?",
)


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="scripts/bench quality", description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    folder = smollm2.obtain(home.models_dir())
    reference = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    tokenizer, results = None, {}
    for name, quantization, together in FORMS:
        model = load_model(str(folder), InferenceSettings(quantization=quantization))
        if tokenizer is None:
            tokenizer = model.tokenizer
            texts = windows(tokenizer)
            prompts = [encode(tokenizer, question) for question in QUESTIONS]
            expected = [generate(reference, prompt) for prompt in prompts]
            base = reference_loss(reference, texts)
        own = loss(model.runner, texts, together=together)
        answers = continuations(model.runner, prompts, NEW_TOKENS, together=together)
        answers = [until_end(answer, tokenizer.end_ids) for answer in answers]
        results[name] = figures(own, base, answers, expected)
        print(name, results[name], file=sys.stderr, flush=True)
        del model
    report(results, math.exp(base))
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")
    return 0


def figures(
    own: float, base: float, answers: list[list[int]], expected: list[list[int]]
) -> dict[str, float]:
    """Perplexity, and how much of the answers agrees."""
    pairs = list(zip(answers, expected, strict=True))
    equal = sum(a == b for ours, theirs in pairs for a, b in zip(ours, theirs, strict=False))
    return {
        "perplexity": math.exp(own),
        "against_bf16": math.exp(own - base) - 1,
        "common_prefix": sum(_common(*pair) for pair in pairs) / len(pairs),
        "equal_tokens": equal / sum(len(theirs) for theirs in expected),
        "equal_answers": sum(ours == theirs for ours, theirs in pairs) / len(pairs),
    }


def _common(ours: list[int], theirs: list[int]) -> int:
    for index, (a, b) in enumerate(zip(ours, theirs, strict=False)):
        if a != b:
            return index
    return min(len(ours), len(theirs))


def encode(tokenizer: ChatTokenizer, question: str) -> list[int]:
    """A question as the model's prompt."""
    return list(tokenizer.encode([ChatMessage(Role.USER, question)], context_length=8192))


def windows(tokenizer: ChatTokenizer, *, count: int = WINDOWS) -> list[list[int]]:
    """Stretches of the project's documents, evenly spread over them."""
    root = Path(__file__).parent.parent
    text = "\n\n".join((root / name).read_text() for name in TEXTS)
    tokens = tokenizer.encode_text(text)
    stride = (len(tokens) - LENGTH) // count
    return [list(tokens[i * stride : i * stride + LENGTH]) for i in range(count)]


def reference_loss(model: Any, texts: Sequence[list[int]]) -> float:
    """The mean loss of transformers, in nats a token."""
    with torch.inference_mode():
        logits = model(torch.tensor(texts)).logits[:, :-1].float()
    expected = torch.tensor(texts)[:, 1:]
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), expected.flatten()).item()


def loss(runner: Runner, texts: Sequence[list[int]], *, together: int) -> float:
    """The mean loss of a runner, in nats a token, with so many texts in a step."""
    losses = []
    for group in _groups(texts, together):
        for place in range(len(group[0]) - 1):
            rows = _rows(runner, [t[: place + 1] for t in group], place)
            logits = torch.as_tensor(runner.forward(rows))
            expected = torch.tensor([text[place + 1] for text in group])
            losses.append(torch.nn.functional.cross_entropy(logits, expected, reduction="none"))
    return torch.cat(losses).mean().item()


def continuations(
    runner: Runner, prompts: Sequence[list[int]], new_tokens: int, *, together: int
) -> list[list[int]]:
    """Greedy tokens, whether or not one ends the answer, with so many prompts in a step."""
    answers = []
    for group in _groups(prompts, together):
        texts = [list(prompt) for prompt in group]
        for step in range(new_tokens):
            starts = [0 if step == 0 else len(text) - 1 for text in texts]
            logits = runner.forward(
                [
                    Row(i, text, start, len(text), _blocks(runner, i))
                    for i, (text, start) in enumerate(zip(texts, starts, strict=True))
                ]
            )
            for text, line in zip(texts, logits, strict=True):
                text.append(int(line.argmax()))
        answers += [text[len(prompt) :] for text, prompt in zip(texts, group, strict=True)]
    return answers


def until_end(answer: list[int], end_ids: frozenset[int]) -> list[int]:
    """An answer up to the token that ends it."""
    for index, token in enumerate(answer):
        if token in end_ids:
            return answer[: index + 1]
    return answer


def generate(model: Any, prompt: list[int]) -> list[int]:
    """The greedy answer of transformers, its end token included."""
    tokens = model.generate(
        torch.tensor([prompt]),
        attention_mask=torch.ones(1, len(prompt), dtype=torch.int64),
        max_new_tokens=NEW_TOKENS,
        do_sample=False,
    )
    answer: list[int] = tokens[0, len(prompt) :].tolist()
    return answer


def _groups(texts: Sequence[list[int]], size: int) -> list[Sequence[list[int]]]:
    return [texts[start : start + size] for start in range(0, len(texts), size)]


def _rows(runner: Runner, texts: list[list[int]], start: int) -> list[Row]:
    return [Row(i, text, start, len(text), _blocks(runner, i)) for i, text in enumerate(texts)]


def _blocks(runner: Runner, number: int) -> range:
    """Room for 256 tokens."""
    size = 256 // runner.block_size
    return range(number * size, (number + 1) * size)


def report(results: dict[str, dict[str, float]], base: float) -> None:
    """The table."""
    table = Table(title=f"SmolLM2-135M-Instruct; transformers in bf16 has perplexity {base:.3f}")
    for column in (
        *("form", "perplexity", "against bf16", f"common prefix of {NEW_TOKENS}"),
        *("equal tokens", "equal answers"),
    ):
        table.add_column(column, justify="right")
    for name, row in results.items():
        table.add_row(
            name,
            f"{row['perplexity']:.3f}",
            f"{row['against_bf16']:+.2%}",
            f"{row['common_prefix']:.1f}",
            f"{row['equal_tokens']:.0%}",
            f"{row['equal_answers']:.0%}",
        )
    Console(width=110).print(table)


if __name__ == "__main__":
    sys.exit(main())
