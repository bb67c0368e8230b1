"""Models from folders: two at a time, one by the fused loop and one by its own code."""

from __future__ import annotations

import grpc
import pytest
import torch
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, LlamaConfig, LlamaForCausalLM

from inference.backends.weightless import weightless_tokenizer
from vedette.inference.v1 import inference_pb2 as pb

SIZES = {
    "vocab_size": 260,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 256,
    "bos_token_id": 259,
    "eos_token_id": 256,
}


@pytest.fixture
def folders(tmp_path):
    """A tiny Llama and a tiny GPT-NeoX with random weights, as anyone would save them."""
    torch.manual_seed(4)
    models = {
        "tiny-llama": LlamaForCausalLM(LlamaConfig(**SIZES, num_key_value_heads=2)),
        "tiny-neox": GPTNeoXForCausalLM(GPTNeoXConfig(**SIZES)),
    }
    for name, model in models.items():
        model.save_pretrained(tmp_path / name)
        weightless_tokenizer().backend.save(str(tmp_path / name / "tokenizer.json"))
    (tmp_path / "tiny-llama" / "README.md").write_text("---\nlicense: mit\n---\n")
    return [str(tmp_path / name) for name in models]


async def test_several_models_answer_by_name(serve, asking, folders):
    """Each is listed with its card, the first answers when none is named."""
    async with serve(backend="torch", model=",".join(folders), cache_bytes=1 << 22) as model:
        listed = (await model.ListModels(pb.ListModelsRequest())).models
        assert ["tiny-llama", "tiny-neox"] == [card.name for card in listed]
        assert [True, False] == [card.is_default for card in listed]
        assert ["mit", ""] == [card.license for card in listed]
        assert all(0 < card.cache_bytes <= 1 << 22 for card in listed)
        sampling = pb.Sampling(max_new_tokens=5, min_new_tokens=5, logit_bias={65: 100.0})
        for name, expected in (("", "tiny-llama"), ("tiny-neox", "tiny-neox")):
            request = asking("hi", pb.GenerateRequest, model=name, sampling=sampling)
            answer = await model.Generate(request, timeout=30)
            assert (expected, 5) == (answer.model, answer.usage.output_tokens)


async def test_every_parameter_works_on_a_real_model(serve, asking, folders):
    """All sampling parameters together, twice: the same seed gives the same answer."""
    sampling = pb.Sampling(
        max_new_tokens=20,
        min_new_tokens=2,
        temperature=0.9,
        top_k=50,
        top_p=0.95,
        min_p=0.01,
        repetition_penalty=1.1,
        presence_penalty=0.5,
        frequency_penalty=0.5,
        seed=11,
        logprobs=3,
        logit_bias={70: -5.0},
        stop=["zzz"],
    )
    for folder in folders:
        async with serve(backend="torch", model=folder, cache_bytes=1 << 22) as model:
            request = asking("hello there", pb.GenerateRequest, sampling=sampling)
            first, second = [await model.Generate(request, timeout=30) for _ in range(2)]
            assert first.text == second.text
            assert first.usage.output_tokens == len(first.logprobs)
            assert all(len(entry.alternatives) == 3 for entry in first.logprobs)


async def test_tokens_beyond_the_vocabulary_are_refused(serve, asking, folders):
    """A token that the model does not have cannot be asked for."""
    async with serve(backend="torch", model=folders[0], cache_bytes=1 << 22) as model:
        sampling = pb.Sampling(logit_bias={400: 1.0})
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await model.Generate(asking("hi", pb.GenerateRequest, sampling=sampling), timeout=30)
        assert grpc.StatusCode.INVALID_ARGUMENT is caught.value.code()
