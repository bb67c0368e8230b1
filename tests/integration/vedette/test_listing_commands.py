"""`vedette models ls` and `vedette policies` against real servers."""

from __future__ import annotations

import json
from concurrent import futures

import grpc
import pytest
from typer.testing import CliRunner

from vedette.cli import app
from vedette.guardrails.v1 import guardrails_pb2 as guard_pb
from vedette.guardrails.v1 import guardrails_pb2_grpc as guard_stubs
from vedette.inference.v1 import inference_pb2 as model_pb
from vedette.inference.v1 import inference_pb2_grpc as model_stubs


class Guardrails(guard_stubs.GuardrailsServiceServicer):
    def ListPolicies(self, request, context):
        return guard_pb.ListPoliciesResponse(
            policies=[
                {
                    "name": "default",
                    "digest": "ab" * 32,
                    "is_default": True,
                    "description": "Usual.",
                },
                {"name": "next", "digest": "cd" * 32, "shadow_of": "default"},
            ]
        )


class Inference(model_stubs.InferenceServiceServicer):
    def ListModels(self, request, context):
        model = model_pb.Model(
            name="small", revision="sha256:" + "ef" * 32, license="MIT", parameters=135_000_000,
            quantization=model_pb.QUANTIZATION_INT8, context_length=8192, device="cpu",
        )  # fmt: skip
        return model_pb.ListModelsResponse(models=[model])


@pytest.fixture
def target():
    """One server that is both services."""
    server = grpc.server(futures.ThreadPoolExecutor(2))
    guard_stubs.add_GuardrailsServiceServicer_to_server(Guardrails(), server)
    model_stubs.add_InferenceServiceServicer_to_server(Inference(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(0).wait()


def test_models_are_listed_with_what_they_need(target):
    """Name, weights, size and licence of each."""
    result = CliRunner().invoke(app, ["models", "ls", "--target", target])
    [_, line] = result.stdout.splitlines()
    assert (result.exit_code, line.split()) == (
        0,
        ["small", "efefefefefef", "int8", "cpu", "135", "M", "0", "MiB", "8,192", "MIT"],
    )


def test_policies_are_listed_with_what_they_are_for(target):
    """The default says so, and a candidate beside which policy it runs."""
    result = CliRunner().invoke(app, ["policies", "--target", target])
    _, *lines = result.stdout.splitlines()
    assert (result.exit_code, [line.split() for line in lines]) == (
        0,
        [
            ["default", "abababababab", "default", "Usual."],
            ["next", "cdcdcdcdcdcd", "beside", "default"],
        ],
    )


@pytest.mark.parametrize(
    ("words", "names"),
    [(("models", "ls"), ["small"]), (("policies",), ["default", "next"])],
    ids=["models", "policies"],
)
def test_json_has_the_contracts_fields(target, words, names):
    """For programs, under the names of the protos."""
    result = CliRunner().invoke(app, [*words, "--target", target, "--json"])
    assert [entry["name"] for entry in json.loads(result.stdout)] == names


@pytest.mark.parametrize("words", [("models", "ls"), ("policies",)], ids=["models", "policies"])
def test_nobody_there_is_one_sentence(free_port, words):
    """The address is named."""
    result = CliRunner().invoke(app, [*words, "--target", f"127.0.0.1:{free_port}"])
    assert (result.exit_code, "Nothing answers at 127.0.0.1:" in result.stderr) == (3, True)
