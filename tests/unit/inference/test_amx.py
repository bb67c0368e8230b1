"""AMX computes the bits of VNNI, and is used only where it was seen to.

The processors that run these tests may lack AMX: plain loops do what its instructions do.
"""

from __future__ import annotations

import functools

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from inference.backends.native import library, weights
from inference.backends.native.amx import is_worth_it
from inference.backends.native.library import Kernels, compile_kernels, load_kernels
from inference.backends.native.runner import NativeRunner
from inference.engine.runner import Row
from inference.models.cache import CacheEntry
from vedette import home

CONFIG = LlamaConfig(
    vocab_size=288,
    hidden_size=192,
    intermediate_size=320,
    num_hidden_layers=2,
    num_attention_heads=3,
    num_key_value_heads=1,
    attention_bias=True,
    max_position_embeddings=1024,
)


@pytest.fixture(scope="module")
def vnni():
    kernels = load_kernels(home.models_dir())
    if kernels is None:
        pytest.skip("this machine has no C++ compiler, or not the instructions")
    kernels.amx = False
    return kernels


@pytest.fixture(scope="module")
def plain(vnni):
    """A library of its own with loops for AMX."""
    entry = CacheEntry(home.models_dir() / f"kernels-plain-{library._key()}")
    folder = entry.obtain(functools.partial(compile_kernels, plain_amx=True))
    kernels = Kernels(folder / library._LIBRARY)
    kernels.amx = True
    return kernels


@pytest.mark.parametrize("rows", [1, 15, 16, 17, 32, 33, 96, 97, 130])
@pytest.mark.parametrize(
    ("outputs", "inputs", "group"), [(32, 64, 64), (96, 576, 192), (64, 1536, 256)]
)
def test_products_have_the_same_bits(plain, rows, outputs, inputs, group):
    """Whatever the number of rows, and however many registers and groups they take."""
    assert plain.try_amx(rows, outputs, inputs, group) > 0


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(5)
    made = AutoModelForCausalLM.from_config(CONFIG, dtype=torch.bfloat16)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, mean=float(parameter.ndim == 1), std=0.06)
    return made.eval()


@pytest.mark.parametrize("length", [1, 15, 16, 33, 200])
@pytest.mark.parametrize("company", [0, 20])
def test_a_step_has_the_same_bits(vnni, plain, model, length, company):
    """All matrices of a model, with their biases, whether few rows or many want logits."""
    prompt = torch.randint(2, 256, (length,)).tolist()
    others = [Row(1 + i, [5, 6, 7 + i], 0, 3, [10 + i]) for i in range(company)]
    first, second = (
        NativeRunner(
            weights.pack(model), kernels, num_blocks=40, context_length=512, threads=2
        ).forward([Row(0, prompt, 0, length, list(range(8))), *others])
        for kernels in (vnni, plain)
    )
    assert torch.equal(torch.from_numpy(first), torch.from_numpy(second))


def test_what_is_slower_is_not_used(plain):
    """The bits are right, the loops take longer."""
    assert not is_worth_it(plain)


def test_a_processor_that_only_claims_amx_is_not_believed(vnni, monkeypatch):
    """Its first use would end the process; another process has tried it before."""
    available = library._cpu_flags()
    if available >= library._AMX_INSTRUCTIONS:
        pytest.skip("this processor has AMX")
    claimed = available | library._AMX_INSTRUCTIONS
    monkeypatch.setattr(library, "_cpu_flags", lambda: claimed)
    assert not load_kernels(home.models_dir()).amx


def test_a_library_that_ends_its_process_fails_only_the_trial(tmp_path):
    """Nothing of it reaches the service."""
    (tmp_path / "kernels.so").write_bytes(b"no library")
    assert not library._passes_trial(tmp_path / "kernels.so")
