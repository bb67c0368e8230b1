"""Every fault reaches the caller with everything that the servicer said, and nothing else."""

from __future__ import annotations

import grpc
import pytest
from google.protobuf.any_pb2 import Any
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from servicekit import errors
from servicekit.errors import Fault, InvalidArgument, Violation
from vedette.errors import FieldViolation, VedetteError, from_rpc_error

FAULTS = sorted(Fault.__subclasses__(), key=lambda fault: fault.__name__)
VIOLATION = Violation("messages[0].text", "must not be empty; say something")


def _make(fault, **facts):
    if fault is InvalidArgument:
        return fault([VIOLATION], **{k: v for k, v in facts.items() if k == "reason"})
    return fault(**facts)


def _received(fault):
    """The fault as a client would get it over the wire."""
    status = rpc_status.to_status(fault.to_status())
    trailing = grpc.aio.Metadata(*status.trailing_metadata)
    return from_rpc_error(
        grpc.aio.AioRpcError(status.code, grpc.aio.Metadata(), trailing, details=status.details)
    )


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_arrives(fault):
    """Status, reason and text of every class of fault come out at the client as they went in."""
    sent = _make(fault)
    received = _received(sent)
    assert isinstance(received, VedetteError)
    assert (received.code, received.reason, received.message) == (
        sent.code,
        sent.reason,
        sent.message,
    )


@pytest.mark.parametrize("fault", FAULTS)
def test_a_servicers_own_reason_goes_before_the_default(fault):
    """A reason given to a fault is the reason that the caller reads."""
    assert _received(_make(fault, reason="SOMETHING_ELSE")).reason == "SOMETHING_ELSE"


@pytest.mark.parametrize("fault", FAULTS)
def test_exactly_one_error_info(fault):
    """Every status carries one ErrorInfo, of the domain vedette."""
    infos = []
    for detail in _make(fault).to_status().details:
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            infos.append(info.domain)
    assert infos == ["vedette"]


def test_all_details_arrive():
    """Violations, delay, quota and metadata survive the way."""
    received = _received(
        errors.Exhausted(
            "The limit of 10 requests a minute was reached.",
            reason="RATE_LIMIT",
            violations=[VIOLATION],
            retry_after_s=1.25,
            quota="tenant:a",
            metadata={"limit": "10"},
        )
    )
    assert received.violations == (
        FieldViolation(field=VIOLATION.field, description=VIOLATION.description),
    )
    assert (received.retry_after_s, received.metadata) == (1.25, {"limit": "10"})
    assert [quota.subject for quota in received.quotas] == ["tenant:a"]


def test_violations_keep_their_order():
    """All fields at fault are named, in the order in which they were found."""
    violations = [Violation(f"field_{n}", "is wrong") for n in range(5)]
    received = _received(InvalidArgument(violations))
    assert [violation.field for violation in received.violations] == [v.field for v in violations]


def test_absent_details_are_not_sent():
    """A fault without violations, delay or quota carries its ErrorInfo alone."""
    [only] = errors.NotFound().to_status().details
    assert only.Is(error_details_pb2.ErrorInfo.DESCRIPTOR)


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0, 0.0), (0.0004, 0.001), (0.25, 0.25), (90, 90.0)]
)
def test_a_delay_is_rounded_up_to_milliseconds(seconds, expected):
    """A caller that waits as long as it is told never comes too early."""
    assert _received(errors.Unavailable(retry_after_s=seconds)).retry_after_s == expected


def test_each_status_is_one_fault():
    """No two classes of fault share a status, and all have a text for the caller."""
    codes = [fault.code for fault in FAULTS]
    assert len(codes) == len(set(codes))
    assert [fault for fault in FAULTS if not fault.default_message.endswith(".")] == []


def test_the_drawn_tree_is_the_real_tree():
    """The tree in the module's docstring names every class of fault."""
    drawn = {line.split()[1] for line in errors.__doc__.splitlines() if "─ " in line}
    assert drawn == {fault.__name__ for fault in FAULTS}


def test_the_details_are_well_formed():
    """Each detail is a packed message of google.rpc."""
    status = errors.Exhausted(retry_after_s=1, quota="q", violations=[VIOLATION]).to_status()
    types = {Any.TypeName(detail) for detail in status.details}
    assert types == {
        "google.rpc.ErrorInfo",
        "google.rpc.BadRequest",
        "google.rpc.RetryInfo",
        "google.rpc.QuotaFailure",
    }
