"""Tallies on disk, one file for each process and pair of policies, for `vedette shadow` to read."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from .tally import Tally

__all__ = ["TallyFiles"]


class TallyFiles:
    """Writes the tallies of one process; a reader never sees half a file."""

    def __init__(self, folder: Path) -> None:
        """Write to this folder, which is made when there is something to write."""
        self._folder = folder
        self._process = secrets.token_hex(4)

    def write(self, tally: Tally, *, now_s: float) -> None:
        """Replace the tally's file.

        Raises:
            OSError: if that cannot be done.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        pair = tally.pair
        versions = f"{pair.active_digest[:8]}-{pair.candidate_digest[:8]}"
        path = self._folder / f"{pair.candidate}-{versions}-{self._process}.json"
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(tally.to_dict(now_s)), encoding="utf-8")
        fresh.replace(path)
