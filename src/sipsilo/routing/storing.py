"""What the parameters make of an m_store: AVPs that turn a MESSAGE into a reminder or add headers to it, flags."""

from dataclasses import dataclass
from datetime import tzinfo

from sipsilo.formats import Variable
from sipsilo.routing.variables import Scope, value
from sipsilo.silo.message import AS_IT_IS, NotStorable, StoreOptions
from sipsilo.silo.reminders import parse_send_time


@dataclass(frozen=True)
class StoreParameters:
    """Parameters of the same names (guide chapter 1.3, Kamailio's extras); `zone` None is the system's."""

    snd_time_avp: Variable | None = None
    extra_hdrs_avp: Variable | None = None
    skip_notification_flag: int | str | None = None
    zone: tzinfo | None = None

    def options(self, scope: Scope, source: str, destination: str) -> StoreOptions:
        """What a script has said of a message by its AVPs. Raises NotStorable for a time that is none."""
        when, lines = _held(scope, self.snd_time_avp), _held(scope, self.extra_hdrs_avp)
        if when is None and lines is None and not source and not destination:
            return AS_IT_IS
        return StoreOptions(self._send_time(when), source, destination, "" if lines is None else str(lines))

    def _send_time(self, when: object) -> int:
        if when is None:
            return 0
        try:
            return parse_send_time(when, self.zone)
        except ValueError as error:
            raise NotStorable(400, f"Bad Send Time: {error}") from None


def _held(scope: Scope, variable: Variable | None) -> object:
    return None if variable is None or not scope.has_avps else value(scope, variable)
