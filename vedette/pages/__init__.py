"""Web pages without a build step and without anything from elsewhere."""

from __future__ import annotations

import json
from importlib import resources
from typing import TYPE_CHECKING, Final

from vedette.traces.export import as_json

if TYPE_CHECKING:
    from vedette.traces import Trace

__all__ = ["live_page", "trace_page"]

# What draws one trace, each after what it needs.
_TRACE: Final = ("elements.js", "summary.js", "waterfall.js")


def trace_page(trace: Trace) -> str:
    """One trace as a page that needs nothing but itself."""
    # A "<" inside the data could end the script element; as an escape it is the same JSON.
    data = json.dumps(as_json(trace)).replace("<", "\\u003c")
    return _filled("trace.html", title=trace.trace_id, script=_scripts(*_TRACE), data=data)


def live_page() -> str:
    """The page that `vedette ui` serves; it asks its server for what it shows."""
    return _filled("ui.html", script=_scripts(*_TRACE, "plots.js", "ui.js"))


def _filled(template: str, **parts: str) -> str:
    """A template with its parts put in; a part is never searched for the place of another."""
    found = ""
    rest = _asset(template)
    parts = {"style": _asset("style.css"), **parts}
    while "{{" in rest:
        before, _, rest = rest.partition("{{")
        name, _, rest = rest.partition("}}")
        found += before + parts[name]
    return found + rest


def _scripts(*names: str) -> str:
    return "\n".join(map(_asset, names))


def _asset(name: str) -> str:
    return resources.files(__name__).joinpath(name).read_text(encoding="utf-8")
