"""Borderline cases wait here for a person: bounded, apart by tenant, and gone after a while."""

from __future__ import annotations

from .case import Case, Decision, ReviewState
from .desk import Desk, Page
from .memory import MemoryReviews
from .recorder import Recorder
from .shared import RedisReviews
from .store import ReviewDecided, Reviews, ReviewsDown, ReviewUnknown

__all__ = [
    "Case",
    "Decision",
    "Desk",
    "MemoryReviews",
    "Page",
    "Recorder",
    "RedisReviews",
    "ReviewDecided",
    "ReviewState",
    "ReviewUnknown",
    "Reviews",
    "ReviewsDown",
]
