"""Our own kernels: near to transformers in what they compute, and the same bits in any company."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, Qwen2Config

from inference.backends.native import library, packed, prepare, weights
from inference.backends.native.library import load_kernels
from inference.backends.native.runner import NativeRunner
from inference.engine.runner import Row
from inference.models.options import LoadOptions
from vedette import home

SIZES = {
    "vocab_size": 288,
    "hidden_size": 192,
    "intermediate_size": 320,
    "num_hidden_layers": 2,
    "max_position_embeddings": 1024,
    "bos_token_id": 1,
    "eos_token_id": 256,
    "pad_token_id": 0,
}
CONFIGS = {
    "llama": LlamaConfig(**SIZES, num_attention_heads=3, num_key_value_heads=1),
    "wide-heads": LlamaConfig(**SIZES, num_attention_heads=4, num_key_value_heads=2, head_dim=128),
    "every-head-its-own": LlamaConfig(**SIZES, num_attention_heads=3, num_key_value_heads=3),
    "qwen2": Qwen2Config(
        **SIZES | {"hidden_size": 448}, num_attention_heads=7, num_key_value_heads=1
    ),
    "all-biased": LlamaConfig(
        **SIZES, num_attention_heads=3, num_key_value_heads=1, attention_bias=True, mlp_bias=True
    ),
}
PROMPTS = ["a", "twelve chars", "a prompt of thirty characters!", "x" * 150]


@pytest.fixture(scope="module")
def kernels():
    loaded = load_kernels(home.models_dir())
    if loaded is None:
        pytest.skip("this machine has no C++ compiler, or not the instructions")
    return loaded


@pytest.fixture(scope="module", params=CONFIGS)
def model(request):
    torch.manual_seed(5)
    made = AutoModelForCausalLM.from_config(CONFIGS[request.param], dtype=torch.bfloat16)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, mean=float(parameter.ndim == 1), std=0.06)
    return made.eval()


def make_runner(model, kernels, *, num_blocks=40):
    return NativeRunner(
        weights.pack(model), kernels, num_blocks=num_blocks, context_length=512, threads=2
    )


@pytest.fixture
def runner(model, kernels):
    return make_runner(model, kernels)


def logits(runner, prompt, *, cuts=()):
    """The last token's logits, the prompt computed in stretches that end at these places."""
    blocks = list(range(3, 3 + -(-len(prompt) // runner.block_size)))
    start = 0
    for stop in (*cuts, len(prompt)):
        result = runner.forward([Row(0, prompt, start, stop, blocks)])
        start = stop
    return torch.from_numpy(result[0].copy())


@pytest.mark.parametrize("length", [1, 31, 32, 33, 100, 301])
def test_logits_are_near_those_of_transformers(model, runner, length):
    """What 8-bit integers and bfloat16 round away is all the difference."""
    prompt = torch.randint(2, 256, (length,)).tolist()
    with torch.inference_mode():
        expected = model.float()(torch.tensor([prompt])).logits[0, -1]
    model.bfloat16()
    assert (logits(runner, prompt) - expected).norm() <= 0.05 * expected.norm()


@pytest.mark.parametrize("cuts", [(1,), (7, 8, 40), (32, 64), tuple(range(1, 70))])
def test_a_prompt_in_chunks_gives_the_same_bits(runner, cuts):
    """Nothing depends on where a prompt is cut."""
    prompt = torch.randint(2, 256, (70,)).tolist()
    assert torch.equal(logits(runner, prompt), logits(runner, prompt, cuts=cuts))


@pytest.mark.parametrize("company", [1, 4, 5, 6, 12, 30])
def test_company_does_not_change_a_bit(runner, company):
    """Nothing depends on how many others share the step, or on what they are."""
    prompt = torch.randint(2, 256, (40,)).tolist()
    alone = logits(runner, prompt)
    others = [Row(i, torch.randint(2, 256, (5,)).tolist(), 0, 5, [10 + i]) for i in range(company)]
    rows = [*others[: company // 2], Row(99, prompt, 0, 40, [3, 4]), *others[company // 2 :]]
    assert torch.equal(alone, torch.from_numpy(runner.forward(rows)[company // 2]))


def test_rows_that_decide_nothing_give_no_logits(runner):
    """A stretch that ends before the prompt does is computed and not decided."""
    prompt = [5, 6, 7, 8]
    assert len(runner.forward([Row(0, prompt, 0, 2, [1])])) == 0
    both = [Row(0, prompt, 2, 4, [1]), Row(1, prompt, 0, 3, [2])]
    assert torch.equal(logits(runner, prompt), torch.from_numpy(runner.forward(both)[0]))


def test_a_model_read_from_its_file_gives_the_same_bits(model, kernels, runner, tmp_path):
    """What is saved is all that the kernels need."""
    packed.save(weights.pack(model), tmp_path)
    read = NativeRunner(
        packed.read(tmp_path), kernels, num_blocks=40, context_length=512, threads=2
    )
    prompt = torch.randint(2, 256, (40,)).tolist()
    assert torch.equal(logits(runner, prompt), logits(read, prompt))


@pytest.mark.parametrize("damage", ["cut", "flipped", "header", "gone"])
def test_a_damaged_file_is_not_read(model, tmp_path, damage):
    """Whatever happened to the file, nothing computes with it."""
    packed.save(weights.pack(model), tmp_path)
    file = tmp_path / "model.safetensors"
    content = bytearray(file.read_bytes())
    if damage == "cut":
        file.write_bytes(content[:-100])
    elif damage == "gone":
        file.unlink()
    else:
        content[-100 if damage == "flipped" else 12] ^= 1
        file.write_bytes(content)
    with pytest.raises(packed.DamagedError):
        packed.read(tmp_path)


@pytest.fixture
def options(tmp_path):
    """How to load a model below a folder of its own, with the kernels of this machine."""
    name = f"kernels-{library._key()}"
    if (home.models_dir() / name).is_dir():
        shutil.copytree(home.models_dir() / name, tmp_path / name)
    return LoadOptions(
        models_dir=tmp_path,
        allow_download=False,
        device="cpu",
        quantization="auto",
        cuda_graphs=False,
        threads=1,
        cache_bytes=1 << 24,
        max_context_length=512,
        max_new_tokens=64,
        default_new_tokens=64,
        max_running=8,
    )


@pytest.fixture
def folder(tmp_path):
    """Files that stand for a model's own."""
    made = tmp_path / "model"
    made.mkdir()
    for name in ("config.json", "model.safetensors"):
        (made / name).write_text(name)
    return made


def test_a_kept_model_is_found_again(model, runner, kernels, options, folder):
    """The next start needs nothing but what was kept."""
    assert prepare.prepare(folder, options) is None
    prepare.keep(weights.pack(model), folder, options)
    prepared = prepare.prepare(folder, options)
    prompt = torch.randint(2, 256, (40,)).tolist()
    assert torch.equal(logits(runner, prompt), logits(prepared.runner, prompt))
    assert (model.num_parameters(), 512) == (prepared.parameters, prepared.context_length)


@pytest.mark.parametrize("change", ["weights", "quantization", "device", "damage"])
def test_a_kept_model_is_not_used_for_something_else(model, kernels, options, folder, change):
    """Other weights, other wishes, or a file that is not what was written."""
    prepare.keep(weights.pack(model), folder, options)
    if change == "weights":
        (folder / "model.safetensors").write_text("others")
    elif change == "damage":
        (entry,) = options.models_dir.glob("packed-*/model.safetensors")
        entry.write_bytes(entry.read_bytes()[:-1])
    else:
        wish = {"quantization": "none", "device": "cuda"}[change]
        options = dataclasses.replace(options, **{change: wish})
    assert prepare.prepare(folder, options) is None
    assert (change != "damage") == bool(list(options.models_dir.glob("packed-*/")))


def test_a_cache_that_cannot_be_written_keeps_nothing(model, options, folder):
    """Then every start packs the model, and serves it."""
    nowhere = dataclasses.replace(options, models_dir=folder / "config.json" / "models")
    prepare.keep(weights.pack(model), folder, nowhere)


def answers(bench, runner, prompts, **limits):
    """Greedy answers of 20 tokens, by prompt; the engine's scheduler is shown as well."""
    engine = bench(runner=runner, **limits)
    engine.engine._vocabulary = type(
        "NoEnd", (), {"backend": engine.engine._vocabulary.backend, "end_ids": frozenset()}
    )()
    numbers = [engine.add(prompt, max_new_tokens=20) for prompt in prompts]
    sequences = [engine.engine._sequences[number] for number in numbers]
    preempted = []
    preempt = engine.scheduler._preempt
    engine.scheduler._preempt = lambda victim: (preempted.append(victim), preempt(victim))
    engine.run()
    return [s.tokens[len(s.request.prompt) :] for s in sequences], preempted


def test_answers_are_the_same_alone_batched_and_chunked(bench, runner):
    """Greedy answers do not depend on company or chunks."""
    alone = [answers(bench, runner, [prompt])[0][0] for prompt in PROMPTS]
    assert alone == answers(bench, runner, PROMPTS)[0]
    assert alone == answers(bench, runner, PROMPTS, max_step_tokens=7)[0]


def test_a_prefix_hit_and_a_preemption_change_nothing(bench, model, kernels):
    """Answers over cached blocks and answers begun anew are the ones of an empty cache."""
    small = make_runner(model, kernels, num_blocks=18)
    [alone], _ = answers(bench, small, [PROMPTS[2] * 3])
    together, preempted = answers(bench, small, [PROMPTS[2] * 3, "y" * 90, "z" * 100, "w" * 80] * 2)
    assert preempted
    assert [alone] * 2 == together[::4]


def test_what_does_not_fit_is_left_to_torch(kernels):
    """Heads of another size, other precisions and odd vocabularies are not for these kernels."""
    for changes, dtype in (
        ({"num_attention_heads": 6, "num_key_value_heads": 2}, torch.bfloat16),
        ({"num_attention_heads": 3, "num_key_value_heads": 1}, torch.float32),
        ({"num_attention_heads": 3, "num_key_value_heads": 1, "vocab_size": 260}, torch.bfloat16),
    ):
        config = LlamaConfig(**SIZES | changes)
        assert not weights.fits(AutoModelForCausalLM.from_config(config, dtype=dtype))


def test_without_a_compiler_torch_serves(tmp_path, monkeypatch):
    """No compiler, or one that fails: no kernels, and no error."""
    monkeypatch.setattr(library, "_cpu_flags", lambda: library._INSTRUCTIONS)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    assert load_kernels(tmp_path / "none") is None
    broken = tmp_path / "c++"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    assert load_kernels(tmp_path / "broken") is None
    with pytest.raises(subprocess.CalledProcessError):
        library.compile_kernels(tmp_path)


def test_without_the_instructions_nothing_is_compiled(tmp_path, monkeypatch):
    """Another processor is not even asked for a compiler."""
    monkeypatch.setattr(library, "_cpu_flags", set)
    assert load_kernels(tmp_path) is None
    assert list(tmp_path.iterdir()) == []
