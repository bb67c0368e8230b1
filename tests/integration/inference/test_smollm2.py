"""The embedded default, for real: its files, its tokenizer, its answers."""

from __future__ import annotations

import math
from typing import ClassVar

import pytest
import torch
from transformers import AutoModelForCausalLM

from benchmarks import quality
from inference.app import InferenceApp
from inference.models import smollm2
from inference.models.chat import ChatMessage, Role
from inference.models.loading import read_tokenizer
from servicekit.process import StartupError
from vedette import home
from vedette.inference.v1 import inference_pb2 as pb

pytestmark = [pytest.mark.model, pytest.mark.timeout(300)]

QUESTION = "What is the capital of France?"


@pytest.fixture(scope="module")
def folder():
    return smollm2.obtain(home.models_dir())


@pytest.fixture(scope="module")
def reference(folder):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)


@pytest.fixture(scope="module")
def tokenizer(folder):
    return read_tokenizer(folder)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("\n\n1.", [1116, 33, 30], id="list-item"),
        pytest.param("a  1", [81, 256, 33], id="two-blanks"),
        pytest.param("\t\t7", [1656, 39], id="two-tabs"),
        pytest.param("2026", [34, 32, 34, 38], id="every-digit-alone"),
    ],
)
def test_text_is_split_as_the_model_was_trained(tokenizer, text, expected):
    """Digits stand alone and do not break up the white space before them."""
    assert expected == tokenizer.backend.encode(text, add_special_tokens=False).ids


def test_prompt_follows_the_chat_template(tokenizer):
    """Turns stand between the model's own markers, after its default system message."""
    prompt = tokenizer.encode([ChatMessage(Role.USER, QUESTION)], context_length=8192)
    text = tokenizer.backend.decode(list(prompt), skip_special_tokens=False)
    assert text.startswith("<|im_start|>system\n")
    assert text.endswith(f"<|im_start|>user\n{QUESTION}<|im_end|>\n<|im_start|>assistant\n")


class Opened(InferenceApp):
    """An app whose parts a test can reach."""

    instances: ClassVar[list[InferenceApp]] = []

    def __init__(self, settings, kit):
        super().__init__(settings, kit)
        Opened.instances.append(self)


@pytest.fixture(scope="module")
def prose(tokenizer):
    """Two hundred tokens of this project's documents."""
    return [window[:50] for window in quality.windows(tokenizer, count=4)]


@pytest.mark.parametrize(
    ("quantization", "held_as", "worse"),
    [
        pytest.param("nf4", pb.QUANTIZATION_NF4, 1.45, id="nf4"),
        pytest.param("int8", pb.QUANTIZATION_INT8, 1.08, id="int8"),
        pytest.param("none", pb.QUANTIZATION_NONE, 1.03, id="none"),
        pytest.param("auto", None, 1.08, id="auto"),
    ],
)
async def test_every_quantization_keeps_what_the_model_knows(
    serve, asking, folder, tokenizer, reference, prose, quantization, held_as, worse
):
    """Its perplexity is near that of transformers in bfloat16, and its answers are greedy.

    NF4 rounds weights that a coarser grid has rounded before; docs/model-cards/smollm2.md.
    """
    async with serve(
        Opened, backend="torch", model=str(folder), quantization=quantization
    ) as model:
        runner = Opened.instances.pop()._catalogue.get("").worker._engine._runner
        (card,) = (await model.ListModels(pb.ListModelsRequest())).models
        assert held_as in (None, card.quantization)
        sampling = pb.Sampling(max_new_tokens=6)
        answer = await model.Generate(
            asking(QUESTION, pb.GenerateRequest, sampling=sampling), timeout=60
        )
        prompt = quality.encode(tokenizer, QUESTION)
        (tokens,) = quality.continuations(runner, [prompt], 6, together=1)
        own = quality.loss(runner, prose, together=len(prose))
    expected = tokenizer.backend.decode(quality.until_end(tokens, tokenizer.end_ids))
    assert expected == answer.text
    assert math.exp(own - quality.reference_loss(reference, prose)) < worse


async def test_greedy_answer_equals_that_of_transformers(
    serve, asking, folder, tokenizer, reference
):
    """In the precision of the file the answer is what `generate` gives."""
    prompt = tokenizer.encode([ChatMessage(Role.USER, QUESTION)], context_length=8192)
    whole = reference.generate(torch.tensor([prompt]), max_new_tokens=20, do_sample=False)
    expected = tokenizer.backend.decode(whole[0, len(prompt) :].tolist())
    async with serve(backend="torch", model=str(folder), quantization="none") as model:
        sampling = pb.Sampling(max_new_tokens=20)
        answer = await model.Generate(
            asking(QUESTION, pb.GenerateRequest, sampling=sampling), timeout=60
        )
    assert expected == answer.text


async def test_a_folder_without_a_model_stops_the_start(serve, tmp_path):
    """The operator is told which files are missing."""
    with pytest.raises(StartupError, match=r"config\.json"):
        async with serve(backend="torch", model=str(tmp_path)):
            pytest.fail("started without a model")
