"""Candidate policies beside the active ones on live traffic: counted, never acted on."""

from __future__ import annotations

from .files import TallyFiles
from .runner import Shadows
from .tally import Tally

__all__ = ["Shadows", "Tally", "TallyFiles"]
