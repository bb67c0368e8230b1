"""Every setting is documented, and the page says what the classes say."""

from __future__ import annotations

import pytest

from scripts import settings_page
from servicekit.settings import settings_class


def test_the_page_is_current():
    """docs/settings.md is what the classes give; where this fails, run scripts/settings."""
    assert settings_page.PAGE.read_text() == settings_page.page()


@pytest.mark.parametrize("service", settings_page.SERVICES)
def test_every_setting_says_what_it_does(service):
    """Each field has a description that is a sentence."""
    fields = settings_class(service).model_fields
    assert [
        name for name, field in fields.items() if not (field.description or "").endswith(".")
    ] == []


@pytest.mark.parametrize("service", settings_page.SERVICES)
def test_every_setting_keeps_its_unit(service):
    """Durations, sizes and counts carry their unit in the name, and never seconds as `ms`."""
    fields = settings_class(service).model_fields
    suspicious = [
        name for name in fields if name.endswith(("timeout", "delay", "interval", "size"))
    ]
    assert suspicious == []
