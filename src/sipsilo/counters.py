"""Named counters of what happens on the wire."""

from collections import Counter


class Counters:
    """Counts events by name; names have the form `group.event`."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def add(self, name: str) -> None:
        """Count one."""
        self._counts[name] += 1

    def __getitem__(self, name: str) -> int:
        return self._counts[name]

    def snapshot(self) -> dict[str, int]:
        """All counts, by name in order."""
        return dict(sorted(self._counts.items()))
