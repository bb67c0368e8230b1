"""Text as a reader understands it, with the way back to the text as it was sent.

Two views: `plain` undoes what hides characters (width, zero-width, entities, percent runs) and
keeps case, for values; `folded` also undoes case, look-alikes, accents, digits for letters, spaced
letters and base64, for phrases. Both are computed while the text arrives, and a piece is handed
on only when nothing that follows can change how it reads.
"""

from __future__ import annotations

from .scan import NormalisedScan, read
from .view import FOLDED, PLAIN, View

__all__ = ["FOLDED", "PLAIN", "NormalisedScan", "View", "read"]
