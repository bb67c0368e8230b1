"""The embedded default, for real: its files, its tokenizer, its answers."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForCausalLM

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
def tokenizer(folder, reference):
    return read_tokenizer(folder, reference.generation_config)


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


@pytest.mark.parametrize(
    ("quantization", "held_as"),
    [
        pytest.param("nf4", pb.QUANTIZATION_NF4, id="nf4"),
        pytest.param("int8", pb.QUANTIZATION_INT8, id="int8"),
        pytest.param("none", pb.QUANTIZATION_NONE, id="none"),
        pytest.param("auto", None, id="auto"),
    ],
)
async def test_every_quantization_answers(serve, asking, folder, quantization, held_as):
    """The model loads and speaks in every precision that can be asked for."""
    async with serve(backend="torch", model=str(folder), quantization=quantization) as model:
        (card,) = (await model.ListModels(pb.ListModelsRequest())).models
        assert held_as in (None, card.quantization)
        sampling = pb.Sampling(max_new_tokens=12)
        answer = await model.Generate(
            asking(QUESTION, pb.GenerateRequest, sampling=sampling), timeout=60
        )
        assert answer.text.isprintable()
        assert len(answer.text.split()) > 3


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
