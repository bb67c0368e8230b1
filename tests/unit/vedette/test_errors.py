"""From a failed call to an exception: total, and never stumbling over what a server sends."""

from __future__ import annotations

import inspect

import grpc
import pytest
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2
from google.rpc.status_pb2 import Status
from hypothesis import given
from hypothesis import strategies as st

from vedette import errors


def failed_call(code=grpc.StatusCode.INTERNAL, *, details="It failed.", trailing=()):
    return grpc.aio.AioRpcError(
        code, grpc.aio.Metadata(), grpc.aio.Metadata(*trailing), details=details
    )


def packed(*details):
    status = Status(code=13, message="It failed.")
    for detail in details:
        status.details.append(Any())
        status.details[-1].Pack(detail)
    return (("grpc-status-details-bin", status.SerializeToString()),)


@pytest.mark.parametrize("code", list(grpc.StatusCode), ids=lambda code: code.name)
def test_every_status_becomes_an_error_that_keeps_it(code):
    """Every gRPC status becomes a VedetteError with that status."""
    error = errors.from_rpc_error(failed_call(code))
    assert (type(error).__mro__.index(errors.VedetteError) > 0, error.code) == (True, code)


def test_every_leaf_of_the_tree_is_reachable_or_made_by_the_client():
    """Each concrete class stands for some status, apart from the one that the client raises."""
    classes = {
        cls
        for _, cls in inspect.getmembers(errors, inspect.isclass)
        if issubclass(cls, errors.VedetteError) and not cls.__subclasses__()
    }
    reached = {type(errors.from_rpc_error(failed_call(code))) for code in grpc.StatusCode}
    assert classes - reached == {errors.AttestationError}


def test_the_drawn_tree_is_the_real_tree():
    """The tree in the module's docstring names every class under its parent."""
    drawn = {}
    path = []
    for line in errors.__doc__.splitlines():
        name = line.split()[0] if line.startswith("    ") else ""
        if name.endswith("Error"):
            depth = (len(line) - len(line.lstrip())) // 4 - 1
            path[depth:] = [name]
            drawn[name] = path[depth - 1] if depth else "Exception"
    real = {
        name: cls.__mro__[1].__name__
        for name, cls in inspect.getmembers(errors, inspect.isclass)
        if issubclass(cls, errors.VedetteError)
    }
    assert drawn == real


def test_details_become_attributes():
    """ErrorInfo, BadRequest, RetryInfo, QuotaFailure and PreconditionFailure can all be read."""
    error = errors.from_rpc_error(
        failed_call(
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            trailing=packed(
                error_details_pb2.ErrorInfo(
                    reason="OVER_LIMIT", domain="vedette", metadata={"limit": "10"}
                ),
                error_details_pb2.BadRequest(
                    field_violations=[{"field": "messages[0].text", "description": "Too long."}]
                ),
                error_details_pb2.RetryInfo(retry_delay=Duration(seconds=1, nanos=500_000_000)),
                error_details_pb2.QuotaFailure(
                    violations=[{"subject": "tenant:a", "description": "10 a minute"}]
                ),
                error_details_pb2.PreconditionFailure(
                    violations=[{"type": "T", "subject": "s", "description": "d"}]
                ),
            ),
        )
    )
    assert isinstance(error, errors.ExhaustedError)
    assert (error.reason, error.metadata, error.retry_after_s) == (
        "OVER_LIMIT",
        {"limit": "10"},
        1.5,
    )
    assert error.violations == (
        errors.FieldViolation(field="messages[0].text", description="Too long."),
    )
    assert error.quotas == (errors.QuotaViolation(subject="tenant:a", description="10 a minute"),)
    assert error.preconditions == (
        errors.PreconditionViolation(type="T", subject="s", description="d"),
    )


def test_an_error_reads_as_reason_text_and_fields():
    """The text of an error names its reason, what happened and the fields at fault."""
    error = errors.InvalidArgumentError(
        "The request is invalid.",
        reason="BAD",
        violations=(errors.FieldViolation(field="model", description="Is unknown."),),
    )
    assert str(error) == "BAD: The request is invalid. (model: Is unknown.)"


def test_a_retry_delay_is_never_negative():
    """A negative delay, which makes no sense, reads as none to wait for."""
    trailing = packed(error_details_pb2.RetryInfo(retry_delay=Duration(seconds=-5)))
    assert errors.from_rpc_error(failed_call(trailing=trailing)).retry_after_s == 0.0


def test_a_broken_detail_does_not_hide_the_others():
    """A detail that cannot be decoded is left out, and the rest is read."""
    status = Status(code=13, message="It failed.")
    status.details.append(
        Any(type_url="type.googleapis.com/google.rpc.BadRequest", value=b"\xff\xff")
    )
    status.details.append(Any())
    status.details[-1].Pack(error_details_pb2.ErrorInfo(reason="R", domain="vedette"))
    trailing = (("grpc-status-details-bin", status.SerializeToString()),)
    assert errors.from_rpc_error(failed_call(trailing=trailing)).reason == "R"


def test_a_call_without_details_still_says_something():
    """A failure about which the server said nothing has a sentence all the same."""
    error = errors.from_rpc_error(failed_call(details=None))
    assert (error.message, error.reason) == ("The call failed.", "")


@given(value=st.binary(max_size=200))
def test_malformed_details_never_raise(value):
    """Whatever bytes stand where the details belong, an error with the status comes out."""
    error = errors.from_rpc_error(failed_call(trailing=(("grpc-status-details-bin", value),)))
    assert error.code is grpc.StatusCode.INTERNAL
