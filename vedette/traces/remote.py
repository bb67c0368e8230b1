"""Finds traces in a Jaeger or Tempo server, by its query API over HTTP."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from vedette.traces import jaeger
from vedette.traces.otlp import spans_of_document
from vedette.traces.store import TraceNotFoundError
from vedette.traces.trace import HOPS, Trace, group

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vedette.traces.spans import Span

__all__ = ["RemoteError", "RemoteTraces"]

_TIMEOUT_S: Final = 15.0
_LIMIT: Final = 100
_MAX_BYTES: Final = 64 * 1024 * 1024


class RemoteError(Exception):
    """The server could not be asked, or answered with something else than traces."""


@dataclass(frozen=True, slots=True)
class RemoteTraces:
    """The traces behind one query address, such as `http://localhost:16686` or `:3200`.

    Which of the two it is shows in what it answers. Ids have to be whole.

    Raises:
        ValueError: the address is not one of http or https.
    """

    url: str

    def __post_init__(self) -> None:
        if urllib.parse.urlsplit(self.url).scheme not in ("http", "https"):
            raise ValueError(f"{self.url} is not an http or https address")

    def recent(self) -> list[Trace]:
        """The latest traces that passed the gateway.

        Raises:
            RemoteError: it could not be asked.
        """
        query = urllib.parse.urlencode({"service": HOPS[0], "limit": _LIMIT})
        found = self._get(f"/api/traces?{query}", missing_is_none=True)
        if isinstance(found, dict) and "data" in found:
            return group(jaeger.spans_of_response(found))
        tags = urllib.parse.urlencode({"tags": f"service.name={HOPS[0]}", "limit": _LIMIT})
        listed = self._get(f"/api/search?{tags}")
        ids = [str(one.get("traceID", "")) for one in _list(listed, "traces")]
        return group(span for trace_id in ids if trace_id for span in self._spans(trace_id))

    def last(self) -> Trace:
        """The trace that began last, but for questions about earlier requests.

        Raises:
            TraceNotFoundError: there is none.
            RemoteError: it could not be asked.
        """
        traces = [trace for trace in self.recent() if not trace.looks_back]
        if not traces:
            raise TraceNotFoundError("there are no traces yet")
        return traces[0]

    def get(self, trace_id: str) -> Trace:
        """The trace with this id.

        Raises:
            TraceNotFoundError: there is none.
            RemoteError: it could not be asked.
        """
        traces = group(self._spans(trace_id.lower()))
        if not traces:
            raise TraceNotFoundError(f"no trace has the id {trace_id}")
        return traces[0]

    def _spans(self, trace_id: str) -> Iterator[Span]:
        path = f"/api/traces/{urllib.parse.quote(trace_id, safe='')}"
        found = self._get(path, missing_is_none=True)
        if isinstance(found, dict) and "data" in found:
            return jaeger.spans_of_response(found)
        return spans_of_document(_as_otlp(found))

    def _get(self, path: str, *, missing_is_none: bool = False) -> Any:
        address = self.url.rstrip("/") + path
        request = urllib.request.Request(address, headers={"Accept": "application/json"})  # noqa: S310  # checked above
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as response:  # noqa: S310
                return json.loads(response.read(_MAX_BYTES))
        except urllib.error.HTTPError as error:
            error.close()
            if missing_is_none and error.code in (400, 404):
                return None
            raise RemoteError(f"{address} answered with status {error.code}") from error
        except OSError as error:
            raise RemoteError(f"{self.url} cannot be reached") from error
        except ValueError as error:
            raise RemoteError(f"{address} cannot be read as traces") from error


def _as_otlp(found: Any) -> Any:
    """Tempo's answer as an OTLP document: its batches, with ids as hexadecimal digits."""
    batches = _list(found, "batches") or _list(found, "resourceSpans")
    for batch in batches:
        for scope in _list(batch, "scopeSpans"):
            for span in _list(scope, "spans"):
                for key in ("traceId", "spanId", "parentSpanId"):
                    span[key] = _hexadecimal(str(span.get(key) or ""))
    return {"resourceSpans": batches}


def _hexadecimal(identifier: str) -> str:
    """Tempo writes ids in base64, the standard in hexadecimal; lengths tell them apart."""
    if len(identifier) in (0, 16, 32):
        return identifier
    try:
        return base64.b64decode(identifier, validate=True).hex()
    except ValueError:
        return identifier


def _list(holder: Any, key: str) -> list[Any]:
    value = holder.get(key) if isinstance(holder, dict) else None
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
