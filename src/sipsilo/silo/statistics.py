"""The module's statistics (guide chapter 1.5, SPEC.md chapter 3)."""

from dataclasses import dataclass


@dataclass(slots=True)
class Statistics:
    """Counts since the start."""

    stored_messages: int = 0
    dumped_messages: int = 0
    failed_messages: int = 0
