"""An engine over the weightless runner, with a clock that only tests move."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import pytest
import torch

from inference.backends.weightless import WeightlessRunner, weightless_tokenizer
from inference.engine.blocks import BlockPool
from inference.engine.engine import BatchingEngine
from inference.engine.queue import FairQueue
from inference.engine.request import Request, Sampling
from inference.engine.scheduler import Limits, Scheduler
from inference.models.chat import ChatMessage, Role

TOKENIZER = weightless_tokenizer()
# Tiny tensors gain nothing from threads, and threads wait for one another on a busy machine.
torch.set_num_threads(1)


@dataclass
class Bench:
    """An engine with its parts in reach."""

    runner: object = None
    num_blocks: int = 64
    max_running: int = 8
    max_step_tokens: int = 64
    context_length: int = 512
    now_s: float = 0.0
    texts: dict[int, str] = field(default_factory=dict)
    finals: dict[int, object] = field(default_factory=dict)
    forwarded: int = 0  # rows that were computed, where `clocked` counts them
    refusals: dict[int, object] = field(default_factory=dict)
    steps: list[list[object]] = field(default_factory=list)

    def __post_init__(self):
        self.runner = self.runner or WeightlessRunner(num_blocks=self.num_blocks)
        self.blocks = BlockPool(
            num_blocks=self.runner.num_blocks, block_size=self.runner.block_size
        )
        self.scheduler = Scheduler(
            blocks=self.blocks,
            queue=FairQueue(),
            limits=Limits(
                max_running=self.max_running,
                max_step_tokens=self.max_step_tokens,
                prompt_share=1.25,
            ),
        )
        self.engine = BatchingEngine(
            runner=self.runner,
            scheduler=self.scheduler,
            vocabulary=TOKENIZER,
            context_length=min(
                self.context_length, self.runner.num_blocks * self.runner.block_size
            ),
            clock=lambda: self.now_s,
        )
        self._numbers = itertools.count()

    def add(self, text="hi", *, deadline_s=float("inf"), tenant="", priority=2, **sampling):
        messages = [ChatMessage(Role.USER, text)]
        number = next(self._numbers)
        request = Request(
            id=number,
            prompt=TOKENIZER.encode(messages, context_length=100_000),
            sampling=Sampling(**{"max_new_tokens": 100, **sampling}),
            deadline_s=deadline_s,
            tenant=tenant,
            priority=priority,
        )
        refusal = self.engine.add(request)
        if refusal is not None:
            self.refusals[number] = refusal
        return number

    def clocked(self, delay_s):
        """From now on every step takes so long on the test's clock."""

        def forward(rows, inner=self.runner.forward):
            self.now_s += delay_s
            self.forwarded += len(rows)
            return inner(rows)

        self.runner.forward = forward
        return self

    def step(self):
        outputs = self.engine.step()
        self.collect(outputs)
        self.blocks.check_integrity()
        return outputs

    def collect(self, outputs):
        self.steps.append(outputs)
        for output in outputs:
            assert output.request_id not in self.finals
            self.texts[output.request_id] = self.texts.get(output.request_id, "") + output.text
            if output.finish_reason is not None:
                self.finals[output.request_id] = output

    def run(self):
        """Step until nothing is left; then every block is free."""
        while self.engine.has_work:
            self.step()
        assert self.blocks.num_available == self.blocks.num_blocks
        return self


@pytest.fixture
def bench():
    return Bench
