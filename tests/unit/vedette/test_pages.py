"""Pages that need nothing but themselves."""

from __future__ import annotations

import json
import re

import pytest

from vedette import pages
from vedette.traces.export import as_json


@pytest.fixture(params=["trace", "live"])
def page(request, whole_request, trace_of):
    if request.param == "live":
        return pages.live_page()
    return pages.trace_page(trace_of(whole_request()))


def test_a_page_loads_nothing_from_elsewhere(page):
    """No script, style, font or image has an address."""
    assert re.findall(r"""(?:\b(?:src|href)\s*=|@import|url\()\s*["']?[^"')\s]+""", page) == []
    addresses = set(re.findall(r"https?://[^\s\"'`<>]+", page))
    assert addresses <= {"http://www.w3.org/2000/svg"}


def test_a_page_has_no_part_left_out(page):
    """Every place of the template is filled."""
    assert "{{" not in page


def test_the_data_of_a_page_is_that_of_the_command(whole_request, trace_of):
    """What `--json` prints is what the page draws."""
    trace = trace_of(whole_request())
    found = re.search(r'id="data">(.*?)</script>', pages.trace_page(trace), re.DOTALL)
    assert json.loads(found[1]) == json.loads(json.dumps(as_json(trace)))


def test_a_span_cannot_put_markup_into_a_page(span, trace_of):
    """A name or an attribute that looks like markup stays data."""
    evil = "</script><script>alert(1)</script><!-- {{script}}"
    page = pages.trace_page(trace_of([span("a", at=(0, 1), name=evil, attributes={"x": evil})]))
    assert "<script>alert" not in page
    assert page.count("</script>") == 2
    found = re.search(r'id="data">(.*?)</script>', page, re.DOTALL)
    assert json.loads(found[1])["spans"][0]["name"] == evil
