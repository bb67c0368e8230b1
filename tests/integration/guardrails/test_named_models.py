"""Larger models that a policy names: a tiny one, written here, and what can be wrong with it."""

from __future__ import annotations

import hashlib
import json
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, pre_tokenizers

from guardrails import check
from guardrails.classifier import ModelError
from guardrails.layers import ModelSpec, Runtime, Scale
from guardrails.layers.onnx_model import OnnxModel
from guardrails.layers.transformers_model import TransformersModel
from vedette.guardrails.v1 import guardrails_pb2 as pb

WORDS = ["[UNK]", "good", "evil", "rude"]
LABELS = ["BENIGN", "MALICIOUS", "RUDE"]

POLICY = """
version: 1
input:
  detectors:
    tiny: {{action: block, threshold: 0.9, on_failure: {on_failure}}}
output:
  detectors:
    tiny: {{action: mask, threshold: 0.9, on_failure: {on_failure}}}
models:
  tiny:
    path: {path}
    labels: {{MALICIOUS: INJECTION, RUDE: HARASSMENT}}
    stride_chars: 40
    window_chars: 120
    {more}
"""


@pytest.fixture
def tiny(tmp_path):
    """A model folder: random embeddings added up, in which `evil` and `rude` weigh most."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    weights = np.random.default_rng(5).normal(0, 0.01, (len(WORDS), len(LABELS)))
    weights[WORDS.index("evil"), 1] = weights[WORDS.index("rude"), 2] = 9.0
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["weights", "input_ids"], ["each"]),
            helper.make_node("ReduceSum", ["each", "axes"], ["logits"], keepdims=0),
        ],
        "tiny",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, [1, None])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, len(LABELS)])],
        [
            numpy_helper.from_array(weights.astype(np.float32), "weights"),
            numpy_helper.from_array(np.array([1]), "axes"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.save(model, folder / "model.onnx")
    tokenizer = Tokenizer(
        models.WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="[UNK]")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "config.json").write_text(json.dumps({"id2label": dict(enumerate(LABELS))}))
    return folder


@pytest.fixture
def spec(tiny):
    """The model above as a policy would name it."""

    def make(**other):
        fields = {
            "runtime": Runtime.ONNX,
            "path": str(tiny),
            "hub": "",
            "revision": "",
            "file": "model.onnx",
            "sha256": "",
            "labels": (("MALICIOUS", "INJECTION"),),
            "scale": None,
            "max_tokens": 16,
            "stride_chars": 40,
            "window_chars": 120,
            "threads": 1,
        }
        return ModelSpec(**fields | other)

    return make


def test_scores_are_probabilities_by_label(spec):
    """Labels that exclude one another share one; labels on their own need not."""
    shared = OnnxModel(spec()).scores("good evil")
    assert set(LABELS) == set(shared)
    assert 1 == pytest.approx(sum(shared.values()))
    assert 0.99 < shared["MALICIOUS"]
    own = OnnxModel(spec(scale=Scale.SIGMOID)).scores("evil rude")
    assert 0.99 < min(own["MALICIOUS"], own["RUDE"])


def test_a_text_of_many_tokens_is_read_in_parts(spec):
    """What stands behind the last token that fits is seen too."""
    model = OnnxModel(spec())
    assert 0.5 > model.scores("good " * 400)["MALICIOUS"]
    assert 0.99 < model.scores("good " * 400 + "evil")["MALICIOUS"]


def test_several_labels_at_once_by_configuration(spec, tiny):
    """The model's own configuration says how its logits are meant."""
    config = {"id2label": dict(enumerate(LABELS)), "problem_type": "multi_label_classification"}
    (tiny / "config.json").write_text(json.dumps(config))
    scores = OnnxModel(spec()).scores("evil rude")
    assert 0.99 < min(scores["MALICIOUS"], scores["RUDE"])


def test_a_label_that_the_model_lacks_is_named(spec):
    """The message says which there are."""
    with pytest.raises(ModelError, match="no label TOXIC; there are BENIGN, MALICIOUS, RUDE"):
        OnnxModel(spec(labels=(("TOXIC", "HATE"),)))


def request(text, direction=pb.DIRECTION_INPUT):
    return pb.CheckTextRequest(
        direction=direction, segments=[pb.Segment(role=pb.ROLE_USER, text=text)]
    )


@pytest.fixture
def serve_tiny(serve, tmp_path, tiny):
    """Guardrails under a policy that names the model above."""

    def start(more="", on_failure="block", path=tiny):
        folder = tmp_path / "policies"
        folder.mkdir(exist_ok=True)
        (folder / "mine.yaml").write_text(
            POLICY.format(path=path, more=more, on_failure=on_failure)
        )
        return serve(policies_dir=folder, default_policy="mine")

    return start


async def test_a_policy_names_a_model_and_its_words_decide(serve_tiny, tiny):
    """Category, score and version are the model's; what it finds clean passes."""
    digest = hashlib.sha256((tiny / "model.onnx").read_bytes()).hexdigest()
    async with serve_tiny(more=f"sha256: {digest}") as guard:
        evil = await guard.CheckText(request("something evil"))
        good = await guard.CheckText(request("something good"))
    [finding] = evil.segments[0].findings
    assert pb.ACTION_BLOCK == evil.action
    assert ("tiny", "INJECTION", "model.MALICIOUS") == (
        finding.detector,
        finding.category,
        finding.rule_id,
    )
    assert (pb.ACTION_ALLOW, "something good") == (good.action, good.segments[0].text)
    [execution] = good.executions
    assert (pb.EXECUTION_STATE_RAN, digest[:12]) == (execution.state, execution.version)
    assert 0 < execution.score < 0.9


async def test_a_stream_is_judged_as_the_whole_is(serve_tiny):
    """The same windows, the same findings, the same text, however it arrives."""
    text = "It begins good. " * 9 + "Then something evil comes. " + "And ends good. " * 9
    config = pb.StreamCheckTextConfig(direction=pb.DIRECTION_OUTPUT, role=pb.ROLE_ASSISTANT)
    requests = [pb.StreamCheckTextRequest(config=config)]
    requests += [pb.StreamCheckTextRequest(text=text[at : at + 7]) for at in range(0, len(text), 7)]
    async with serve_tiny() as guard:
        whole = await guard.CheckText(request(text, pb.DIRECTION_OUTPUT))
        events = [event async for event in guard.StreamCheckText(iter(requests))]
    [segment] = whole.segments
    assert "[INJECTION]" in segment.text
    assert segment.text == "".join(event.release.text for event in events)
    assert list(segment.findings) == [
        event.finding for event in events if event.HasField("finding")
    ]


def poison(tiny):
    content = bytearray((tiny / "model.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (tiny / "model.onnx").write_bytes(content)


BROKEN = {
    "missing": lambda tiny: (tiny / "model.onnx").unlink(),
    "garbage": lambda tiny: (tiny / "model.onnx").write_bytes(b"no model"),
    "changed": poison,
    "without a tokenizer": lambda tiny: (tiny / "tokenizer.json").unlink(),
    "without labels": lambda tiny: (tiny / "config.json").write_text("{}"),
    "with other outputs": lambda tiny: (tiny / "config.json").write_text(
        '{"id2label": {"0": "MALICIOUS", "1": "RUDE"}}'
    ),
}


@pytest.mark.parametrize("on_failure", ["block", "allow"])
@pytest.mark.parametrize("damage", BROKEN.values(), ids=BROKEN)
async def test_a_model_that_cannot_be_used_says_so_and_the_policy_decides(
    serve_tiny, tiny, damage, on_failure
):
    """The service starts and answers; its execution says that the detector failed."""
    digest = hashlib.sha256((tiny / "model.onnx").read_bytes()).hexdigest()
    damage(tiny)
    async with serve_tiny(more=f"sha256: {digest}", on_failure=on_failure) as guard:
        answer = await guard.CheckText(request("something good"))
    assert [pb.EXECUTION_STATE_FAILED] == [each.state for each in answer.executions]
    expected = {"block": pb.ACTION_BLOCK, "allow": pb.ACTION_ALLOW}[on_failure]
    assert expected == answer.action


async def test_a_folder_that_does_not_exist_fails_alike(serve_tiny, tmp_path):
    """A wrong path is no pass."""
    async with serve_tiny(path=tmp_path / "nowhere") as guard:
        answer = await guard.CheckText(request("something good"))
    assert pb.ACTION_BLOCK == answer.action


def checked(policies, capsys, text):
    """What `check` writes about a text under the policy `default` of this folder, and its code."""
    (policies.parent / "text.txt").write_text(text)
    code = check.main([str(policies.parent / "text.txt"), "--policies-dir", str(policies)])
    written = capsys.readouterr()
    # Lines of the log may stand before it: only a process configures where they go.
    return code, json.loads(written.out.splitlines()[-1]), written.err


def test_the_command_loads_the_models_that_a_policy_names(tiny, tmp_path, capsys):
    """A text is judged by the model as the service would have it judged."""
    policies = tmp_path / "policies"
    policies.mkdir()
    (policies / "default.yaml").write_text(
        POLICY.format(path=tiny, on_failure="block", more="max_tokens: 64")
    )
    code, line, errors = checked(policies, capsys, "all is good")
    assert (0, "allow", "") == (code, line["action"], errors)
    code, line, errors = checked(policies, capsys, "all is evil evil")
    assert (1, "block", "") == (code, line["action"], errors)


@pytest.mark.parametrize(("on_failure", "code"), [("block", 1), ("allow", 0)])
def test_the_command_warns_of_a_model_that_cannot_be_used(tmp_path, capsys, on_failure, code):
    """The warning names the place on standard error; the policy decides about the text."""
    policies, nowhere = tmp_path / "policies", tmp_path / "nowhere"
    policies.mkdir()
    (policies / "default.yaml").write_text(
        POLICY.format(path=nowhere, on_failure=on_failure, more="max_tokens: 64")
    )
    found, line, errors = checked(policies, capsys, "all is good")
    assert code == found
    assert errors.startswith(f"warning: {nowhere}: ")
    assert [("tiny", "failed")] == [
        (each["detector"], each["state"]) for each in line["executions"]
    ]


def test_without_its_libraries_the_message_says_what_to_install(spec, monkeypatch):
    """The service itself has no torch; a policy that wants it is told how to get it."""
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ModelError, match=r"pip install 'vedette\[guardrails-transformers\]'"):
        TransformersModel(spec(runtime=Runtime.TRANSFORMERS))


@pytest.mark.slow
def test_transformers_run_a_model_of_their_own_format(spec, tmp_path):
    """A tiny BERT with random weights, saved as safetensors, gives a probability a label."""
    transformers = pytest.importorskip("transformers")
    folder = tmp_path / "bert"
    config = transformers.BertConfig(
        vocab_size=64,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=8,
        max_position_embeddings=32,
        id2label=dict(enumerate(LABELS)),
        label2id={label: index for index, label in enumerate(LABELS)},
    )
    transformers.BertForSequenceClassification(config).save_pretrained(folder)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "evil"]
    (folder / "vocab.txt").write_text("\n".join(words))
    transformers.BertTokenizerFast(
        vocab={word: index for index, word in enumerate(words)}
    ).save_pretrained(folder)
    model = TransformersModel(spec(runtime=Runtime.TRANSFORMERS, path=str(folder)))
    scores = model.scores("good evil " * 40)
    assert set(LABELS) == set(scores)
    assert all(0 < score < 1 for score in scores.values())
