"""Runners against transformers' own `generate`, on tiny random models in float32."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    GPTNeoXConfig,
    LlamaConfig,
    Qwen2Config,
)

from inference.backends import llama
from inference.backends.llama import LlamaRunner, read_stack
from inference.backends.matrices import Bits, Dense, Int4, Int8, Packed
from inference.backends.transformers import TransformersRunner
from inference.engine.runner import Row

SIZES = {
    "vocab_size": 260,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 512,
    "initializer_range": 0.5,
    "bos_token_id": 1,
    "eos_token_id": 256,
    "pad_token_id": 0,
}
CONFIGS = {
    "llama": LlamaConfig(**SIZES, num_key_value_heads=2),
    "qwen2": Qwen2Config(**SIZES, num_key_value_heads=2, tie_word_embeddings=True),
    "gpt_neox": GPTNeoXConfig(**SIZES),
}
NUM_BLOCKS, BLOCK_SIZE = 50, 8
PROMPTS = ["a", "twelve chars", "a prompt of thirty characters!", "x" * 150]


def fused(model, *, joined=False, replay=False):
    dense = read_stack(model, Dense, Dense, joined=joined)
    return LlamaRunner(
        model,
        choose_stack=lambda _: dense,
        num_blocks=NUM_BLOCKS,
        block_size=BLOCK_SIZE,
        context_length=512,
        replay=replay,
    )


def quantized(model, bits):
    cpu = torch.device("cpu")
    maker = partial(Bits, device=cpu, bits=bits)
    stack = read_stack(model, maker, Dense, device=cpu, joined=True)
    return LlamaRunner(
        model,
        choose_stack=lambda _: stack,
        device=cpu,
        num_blocks=NUM_BLOCKS,
        block_size=BLOCK_SIZE,
        context_length=512,
    )


def general(model):
    return TransformersRunner(
        model, cache_bytes=1 << 24, block_size=BLOCK_SIZE, max_tokens=NUM_BLOCKS * BLOCK_SIZE
    )


@pytest.fixture(scope="module", params=["llama", "qwen2", "gpt_neox"])
def model(request):
    torch.manual_seed(3)
    made = AutoModelForCausalLM.from_config(CONFIGS[request.param], dtype=torch.float32)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return made.eval()


@pytest.fixture(
    params=[fused, partial(fused, joined=True, replay=True), general],
    ids=["fused", "joined-and-replayed", "general"],
)
def runner(request, model):
    if request.param is not general and not llama.is_supported(model.config):
        pytest.skip("the fused loop does not compute this family")
    return request.param(model)


def expected(model, prompt, count):
    tokens = torch.tensor([prompt])
    mask = torch.ones_like(tokens)
    whole = model.generate(
        tokens, attention_mask=mask, max_new_tokens=count, do_sample=False, eos_token_id=None
    )
    return whole[0, len(prompt) :].tolist()


class Recorded:
    """An engine over a runner, which keeps the tokens of each answer."""

    def __init__(self, bench, runner, **limits):
        self.bench = bench(runner=runner, **limits)
        self.sequences = {}

    def add(self, text, count=12, **fields):
        number = self.bench.add(text, max_new_tokens=count, **fields)
        self.sequences[number] = self.bench.engine._sequences[number]
        return number

    def run(self):
        self.bench.engine._vocabulary = _NoEnd(self.bench.engine._vocabulary)
        self.bench.run()
        return self

    def answer(self, number):
        sequence = self.sequences[number]
        return sequence.tokens[len(sequence.request.prompt) :]

    def check(self, model):
        for number, sequence in self.sequences.items():
            count = sequence.request.sampling.max_new_tokens
            assert expected(model, list(sequence.request.prompt), count) == self.answer(number)


class _NoEnd:
    """A vocabulary without an end, so that answers are as long as wanted."""

    def __init__(self, vocabulary):
        self.backend = vocabulary.backend
        self.end_ids = frozenset()


@pytest.mark.parametrize("chunk", [512, 7], ids=["whole", "chunked"])
@pytest.mark.parametrize("prompts", [PROMPTS[:1], PROMPTS], ids=["alone", "batched"])
def test_greedy_answers_equal_those_of_transformers(bench, model, runner, prompts, chunk):
    """Alone or in company, with whole prompts or chunks, the tokens are the same."""
    engine = Recorded(bench, runner, max_step_tokens=chunk)
    for prompt in prompts:
        engine.add(prompt)
    engine.run().check(model)


def test_a_prefix_hit_changes_nothing(bench, model, runner):
    """An answer over cached blocks is the answer over computed ones."""
    engine = Recorded(bench, runner)
    engine.add(PROMPTS[2])
    engine.run()
    again = engine.add(PROMPTS[2])
    longer = engine.add(PROMPTS[2] + " and more")
    engine.run().check(model)
    assert engine.bench.finals[again].usage.cached_tokens > 0
    assert engine.bench.finals[longer].usage.cached_tokens > 0


def test_preemption_changes_nothing(bench, model, runner):
    """When the cache is too small for all, answers wait and come out the same."""
    engine = Recorded(bench, runner)
    for _ in range(4):
        engine.add(PROMPTS[2] * 3, count=20)
    preempted = []
    preempt = engine.bench.scheduler._preempt
    engine.bench.scheduler._preempt = lambda victim: (preempted.append(victim), preempt(victim))
    engine.run().check(model)
    assert preempted


def test_replayed_steps_leave_nothing_behind(model):
    """Few shapes serve all steps, and each gives what the same rows give by themselves."""
    if not llama.is_supported(model.config):
        pytest.skip("the fused loop does not compute this family")
    plain, replayed = fused(model), fused(model, replay=True)
    texts = [torch.randint(2, 256, (length,)).tolist() for length in (25, 30, 17, 25, 12)]
    blocks = [range(4 * i, 4 * i + -(-len(text) // BLOCK_SIZE)) for i, text in enumerate(texts)]
    prompts = [
        Row(i, t, 0, len(t) - 1, b) for i, (t, b) in enumerate(zip(texts, blocks, strict=True))
    ]
    plain.forward(prompts)
    replayed.forward(prompts)
    rows = [Row(r.sequence_id, r.tokens, r.stop, r.stop + 1, r.blocks) for r in prompts]
    for some in (rows, rows[:3], rows[2:], rows[::-1], rows[:1], rows[1:4], rows):
        torch.testing.assert_close(
            torch.from_numpy(replayed.forward(some)), torch.from_numpy(plain.forward(some))
        )
    assert {(8, 4), (4, 4), (1, 4)} == set(replayed._replays._recorded)


@pytest.mark.parametrize(
    ("make", "tolerance"),
    [
        pytest.param(Packed, 0.01, id="packed"),
        pytest.param(Int8, 0.02, id="int8"),
        pytest.param(Int4, 0.15, id="int4"),
        pytest.param(partial(Bits, device=torch.device("cpu"), bits=8), 0.03, id="bits-int8"),
        pytest.param(partial(Bits, device=torch.device("cpu"), bits=4), 0.15, id="bits-nf4"),
    ],
)
@pytest.mark.parametrize("rows", [1, 5, 40])
def test_every_form_of_a_matrix_multiplies_alike(make, tolerance, rows):
    """Products differ from the exact ones by no more than the form's rounding."""
    if make is Packed and not Packed.is_available(torch.bfloat16):
        pytest.skip("this processor does not multiply bfloat16 by itself")
    torch.manual_seed(1)
    weight = torch.randn(128, 64).bfloat16()
    x, other = torch.randn(rows, 64).bfloat16(), torch.randn(rows, 128).bfloat16()
    exact, matrix = Dense(weight.float()), make(weight)
    with torch.inference_mode():
        for call in (
            lambda m, x, _: m(x),
            lambda m, x, _: m.silu(x),
            lambda m, x, other: m.times(x, other),
            lambda m, x, other: m.plus(x, other),
        ):
            expected = call(exact, x.float(), other.float())
            actual = call(matrix, x, other).float()
            assert (actual - expected).norm() <= tolerance * expected.norm()


def test_weights_from_a_grid_keep_their_integers():
    """Weights that were 4-bit integers with scale and offset come back but for the rounding."""
    torch.manual_seed(2)
    integers = torch.randint(0, 16, (32, 4, 32)).float()
    integers[:, :, 0], integers[:, :, 1] = 0, 15
    scales, offsets = torch.rand(32, 4, 1) + 0.5, -torch.rand(32, 4, 1) * 8
    weight = (integers * scales + offsets).view(32, 128).bfloat16()
    product = Int4(weight)(torch.eye(128).bfloat16()).float().T
    assert (product - weight.float()).abs().max() <= 2**-6 * weight.float().abs().max()


@pytest.mark.parametrize("bits", [4, 8])
def test_quantized_answers_begin_alike_in_any_company(bench, model, bits):
    """With bitsandbytes' weights too, an answer alone begins as in a batch."""
    if not llama.is_supported(model.config):
        pytest.skip("the fused loop does not compute this family")
    runner = quantized(model.bfloat16() if bits == 8 else model, bits)
    prompts = PROMPTS[:3]
    alone = [Recorded(bench, runner) for _ in prompts]
    expected = [(engine, engine.add(prompt)) for engine, prompt in zip(alone, prompts, strict=True)]
    together = Recorded(bench, runner)
    numbers = [together.add(prompt) for prompt in prompts]
    together.run()
    # Rounding may part them later: products of one row and of many are summed in another order.
    first_alone = [engine.run().answer(number)[0] for engine, number in expected]
    assert first_alone == [together.answer(number)[0] for number in numbers]
    model.float()
