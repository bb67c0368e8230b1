"""transformers' `generate` under the benchmark's protocol."""

from __future__ import annotations

import sys
import time

import torch
from engine_protocol import Task, Times, serve
from transformers import AutoModelForCausalLM


class Transformers:
    """bfloat16, static batches, every core."""

    def __init__(self, folder: str) -> None:
        """Load the model."""
        self._model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).eval()

    def run(self, task: Task) -> Times:
        """One call; its stopping criterion looks at the clock after each token."""
        prompts = torch.tensor(task.prompts)
        goes_on = torch.zeros(len(prompts), dtype=torch.bool)
        times: list[float] = []
        start_s = time.perf_counter()

        def note(*_: object, **__: object) -> torch.Tensor:
            times.append(time.perf_counter() - start_s)
            return goes_on

        with torch.inference_mode():
            self._model.generate(
                prompts,
                attention_mask=torch.ones_like(prompts),
                do_sample=False,
                min_new_tokens=task.new_tokens,
                max_new_tokens=task.new_tokens,
                stopping_criteria=[note],
            )
        return [times] * len(prompts)


if __name__ == "__main__":
    serve(Transformers(sys.argv[1]).run)
