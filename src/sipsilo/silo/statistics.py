"""The module's statistics (guide chapter 1.5, SPEC.md chapter 3)."""

from dataclasses import dataclass


@dataclass(slots=True)
class Statistics:
    """Counts since the start. What is sent again is counted again, except messages that arrived: once each."""

    stored_messages: int = 0
    dumped_messages: int = 0
    failed_messages: int = 0
    dumped_reminders: int = 0
    failed_reminders: int = 0

    def snapshot(self) -> dict[str, int]:
        """All counts, by their names."""
        return {
            "stored_messages": self.stored_messages,
            "dumped_messages": self.dumped_messages,
            "failed_messages": self.failed_messages,
            "dumped_reminders": self.dumped_reminders,
            "failed_reminders": self.failed_reminders,
        }

    def count_dumped(self, is_reminder: bool) -> None:
        """A message, or a reminder, has arrived."""
        if is_reminder:
            self.dumped_reminders += 1
        else:
            self.dumped_messages += 1

    def count_failed(self, is_reminder: bool) -> None:
        """An attempt to deliver it has failed."""
        if is_reminder:
            self.failed_reminders += 1
        else:
            self.failed_messages += 1
