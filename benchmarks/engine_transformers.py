"""transformers' `generate` under the benchmark's protocol."""

from __future__ import annotations

import sys
import time

import torch
from engine_protocol import Task, serve
from transformers import AutoModelForCausalLM


class Transformers:
    """bfloat16, static batches."""

    def __init__(self, folder: str) -> None:
        """Load the model."""
        self._model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).eval()

    def run(self, task: Task) -> float:
        """Seconds for the whole task."""
        prompts = torch.tensor(task.prompts)
        start_s = time.perf_counter()
        with torch.inference_mode():
            self._model.generate(
                prompts,
                attention_mask=torch.ones_like(prompts),
                do_sample=False,
                min_new_tokens=task.new_tokens,
                max_new_tokens=task.new_tokens,
            )
        return time.perf_counter() - start_s


if __name__ == "__main__":
    serve(Transformers(sys.argv[1]).run)
