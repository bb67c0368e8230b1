"""What reaches the terminal."""

from __future__ import annotations

import pytest

from vedette.cli import loglines
from vedette.cli.terminal import shown


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("naïve\tλ\nline", "naïve\tλ\nline"),
        ("\x1b[31mred\x07", "\ufffd[31mred\ufffd"),
        ("back\x08space\r", "back\ufffdspace\ufffd"),
        ("right-to-left \u202e override", "right-to-left \ufffd override"),
    ],
    ids=["words stay", "escape sequences", "cursor movement", "direction override"],
)
def test_text_of_others_cannot_move_the_cursor(text, expected):
    """Control characters are shown as what they are: not text."""
    assert shown(text) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            '{"event": "process.ready", "timestamp": "2026-11-21T07:30:01.123456Z", "port": 5}',
            "gateway    | 07:30:01.123 process.ready port=5",
        ),
        ("plain words", "gateway    | plain words"),
        ('{"no": "event"}', 'gateway    | {"no": "event"}'),
        ("[bold]markup[/]", "gateway    | [bold]markup[/]"),
    ],
    ids=["structured", "plain", "other JSON", "markup is text"],
)
def test_log_lines_carry_their_service(line, expected):
    """Structured lines become words; everything else stays as it is."""
    assert loglines.rendered("gateway", line).plain == expected
