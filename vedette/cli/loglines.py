"""The log lines of several services as one readable stream."""

from __future__ import annotations

import json

from rich.text import Text

from vedette.cli.terminal import COLOURS

__all__ = ["rendered"]

_WIDTH = max(map(len, COLOURS)) + 1
_LEVELS = {"warning": "yellow", "error": "bold red", "critical": "bold red", "debug": "dim"}
# Said by the prefix, or of use only to machines.
_OMITTED = {"service", "level", "timestamp", "event", "span_id"}


def rendered(service: str, line: str) -> Text:
    """One line with its service in front; structured lines become words, others stay."""
    text = Text(f"{service:<{_WIDTH}}", style=COLOURS.get(service, "blue"))
    text.append("| ", style="dim")
    try:
        record = json.loads(line)
    except ValueError:
        record = None
    if not isinstance(record, dict) or "event" not in record:
        return text.append(line, style="none")
    text.append(str(record.get("timestamp", ""))[11:23] + " ", style="dim")
    text.append(str(record["event"]), style=_LEVELS.get(str(record.get("level")), "bold"))
    for key, value in record.items():
        if key not in _OMITTED:
            text.append(f" {key}=", style="dim").append(_plain(value), style="none")
    return text


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
