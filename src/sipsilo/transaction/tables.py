"""The four state machines of RFC 3261 §17, as changed by RFC 4320 and RFC 6026, as tables.

A row reads: in this state, on this event, go to the next state, do the actions, start the timers. Timers
that a row starts replace those that ran. An event without a row does nothing: a message that comes late is
absorbed, a timer that matters no longer ends unseen. A response of the TU without a row is the TU's mistake.
"""

from enum import IntEnum, auto
from typing import NamedTuple


# IntEnum: its members are hashed in C, an Enum's by a Python function, and every message looks up rows.
class State(IntEnum):
    """Where a transaction is."""

    INITIAL = auto()
    """Before its request."""
    TRYING = auto()
    """In an INVITE server transaction: RFC 3261's Proceeding, as long as no response has been sent."""
    CALLING = auto()
    PROCEEDING = auto()
    ACCEPTED = auto()
    COMPLETED = auto()
    CONFIRMED = auto()
    TERMINATED = auto()


class Event(IntEnum):
    """What happens to a transaction. Responses come from the TU (server) or from the network (client)."""

    REQUEST = auto()
    ACK = auto()
    PROVISIONAL = auto()
    """1xx."""
    FINAL = auto()
    """2xx to 6xx of a non-INVITE transaction."""
    SUCCESS = auto()
    """2xx to an INVITE."""
    FAILURE = auto()
    """3xx to 6xx to an INVITE."""
    TRANSPORT_ERROR = auto()
    TIMER_A = auto()
    TIMER_B = auto()
    TIMER_D = auto()
    TIMER_E = auto()
    TIMER_F = auto()
    TIMER_G = auto()
    TIMER_H = auto()
    TIMER_I = auto()
    TIMER_J = auto()
    TIMER_K = auto()
    TIMER_L = auto()
    TIMER_M = auto()
    TIMER_TRYING = auto()
    """The TU has not answered, a 100 is due."""
    TIMER_INVITE_TRYING = auto()
    """The same for an INVITE."""
    TIMER_GIVE_UP = auto()
    """The TU has not answered, and the client waits no longer."""


class Action(IntEnum):
    """What is to be done on a step."""

    SEND = auto()
    """Send the message in hand: the client's request, the TU's response."""
    SEND_TRYING = auto()
    SEND_ACK = auto()
    RESEND = auto()
    """Send the client's request, or the server's last response, once more."""
    PASS_UP = auto()
    """Give the message in hand to the TU."""
    TIMED_OUT = auto()
    """Tell the TU that the other side is silent."""
    FAILED = auto()
    """Tell the TU that the transport failed."""
    RESTART_DOUBLED = auto()
    """Start the timer that fired again, with twice its length."""
    RESTART_DOUBLED_TO_T2 = auto()
    """The same, with at most T2."""
    RESTART_T2 = auto()
    """Start the timer that fired again, with T2."""


# What the code for each message needs: Python 3.11 finds a member of an Enum by a Python function, in 0.2 µs.
INITIAL, COMPLETED, TERMINATED = State.INITIAL, State.COMPLETED, State.TERMINATED
REQUEST, PROVISIONAL, FINAL = Event.REQUEST, Event.PROVISIONAL, Event.FINAL


class Step(NamedTuple):
    """The right side of a row."""

    next: State
    actions: tuple[Action, ...] = ()
    end: Event | None = None
    """The timer that ends the new state."""
    repeat: Event | None = None
    """The timer that sends something meanwhile."""


Table = dict[tuple[State, Event], Step]


NON_INVITE_SERVER: Table = {
    # §17.2.2: "initialized in the 'Trying' state ... This request is passed up to the TU."
    # The two timers are RFC 4320's, below.
    (State.INITIAL, Event.REQUEST): Step(State.TRYING, (Action.PASS_UP,), Event.TIMER_GIVE_UP, Event.TIMER_TRYING),
    # §17.2.2: "Once in the 'Trying' state, any further request retransmissions are discarded."
    (State.TRYING, Event.REQUEST): Step(State.TRYING),
    # RFC 4320 §4.1: a 100 must be sent when nothing else was "after the amount of time it takes a client
    # transaction's Timer E to be reset to T2". Earlier it must not over UDP, and no other provisional
    # response is allowed at all; therefore the TU gives none, and there is no row for one.
    (State.TRYING, Event.TIMER_TRYING): Step(State.PROCEEDING, (Action.SEND_TRYING,)),
    (State.TRYING, Event.FINAL): Step(State.COMPLETED, (Action.SEND,), Event.TIMER_J),
    # RFC 4320 §4.2: an element that cannot respond in time sends no final response, and never a 408.
    (State.TRYING, Event.TIMER_GIVE_UP): Step(State.TERMINATED),
    # §17.2.2: "the most recently sent provisional response MUST be passed to the transport layer"
    (State.PROCEEDING, Event.REQUEST): Step(State.PROCEEDING, (Action.RESEND,)),
    # §17.2.2: "If the TU passes a final response ... the transaction MUST enter the 'Completed' state"
    (State.PROCEEDING, Event.FINAL): Step(State.COMPLETED, (Action.SEND,), Event.TIMER_J),
    (State.PROCEEDING, Event.TIMER_GIVE_UP): Step(State.TERMINATED),
    # §17.2.2: "MUST pass the final response to the transport layer for retransmission whenever a
    # retransmission of the request is received"
    (State.COMPLETED, Event.REQUEST): Step(State.COMPLETED, (Action.RESEND,)),
    # §17.2.2: "remains in this state until Timer J fires"
    (State.COMPLETED, Event.TIMER_J): Step(State.TERMINATED),
    # No row for a transport error, other than in figure 8: what RFC 6026 §7.1 says of INVITE holds here too.
    # A forgotten transaction would take the retransmission for a new request, and store a MESSAGE twice.
}

INVITE_SERVER: Table = {
    # §17.2.1: "MUST generate a 100 (Trying) response unless it knows that the TU will generate a provisional
    # or final response within 200 ms"
    (State.INITIAL, Event.REQUEST): Step(State.TRYING, (Action.PASS_UP,), None, Event.TIMER_INVITE_TRYING),
    (State.TRYING, Event.REQUEST): Step(State.TRYING),
    (State.TRYING, Event.TIMER_INVITE_TRYING): Step(State.PROCEEDING, (Action.SEND_TRYING,)),
    (State.TRYING, Event.PROVISIONAL): Step(State.PROCEEDING, (Action.SEND,)),
    (State.TRYING, Event.SUCCESS): Step(State.ACCEPTED, (Action.SEND,), Event.TIMER_L),
    (State.TRYING, Event.FAILURE): Step(State.COMPLETED, (Action.SEND,), Event.TIMER_H, Event.TIMER_G),
    # §17.2.1: "the most recent provisional response that was received from the TU MUST be passed to the
    # transport layer for retransmission"
    (State.PROCEEDING, Event.REQUEST): Step(State.PROCEEDING, (Action.RESEND,)),
    # §17.2.1: "The TU passes any number of provisional responses"
    (State.PROCEEDING, Event.PROVISIONAL): Step(State.PROCEEDING, (Action.SEND,)),
    # RFC 6026 §7.1: a 2xx leads to "Accepted", which Timer L ends
    (State.PROCEEDING, Event.SUCCESS): Step(State.ACCEPTED, (Action.SEND,), Event.TIMER_L),
    # §17.2.1: "status code from 300 to 699 ... the state machine MUST enter the 'Completed' state. For
    # unreliable transports, timer G is set ... timer H MUST be set to fire in 64*T1 seconds"
    (State.PROCEEDING, Event.FAILURE): Step(State.COMPLETED, (Action.SEND,), Event.TIMER_H, Event.TIMER_G),
    # RFC 6026 §7.1: retransmissions of the INVITE are absorbed
    (State.ACCEPTED, Event.REQUEST): Step(State.ACCEPTED),
    # RFC 6026 §7.1: "Any retransmission of the 2xx response passed from the TU to the transaction while in
    # the 'Accepted' state MUST be passed to the transport layer for transmission."
    (State.ACCEPTED, Event.SUCCESS): Step(State.ACCEPTED, (Action.SEND,)),
    # RFC 6026 §7.1: "Any ACKs received from the network while in the 'Accepted' state MUST be passed directly
    # to the TU and not absorbed."
    (State.ACCEPTED, Event.ACK): Step(State.ACCEPTED, (Action.PASS_UP,)),
    (State.ACCEPTED, Event.TIMER_L): Step(State.TERMINATED),
    # §17.2.1: "the server SHOULD pass the response to the transport for retransmission"
    (State.COMPLETED, Event.REQUEST): Step(State.COMPLETED, (Action.RESEND,)),
    # §17.2.1: "timer G is reset with a value that doubles, unless that value exceeds T2"
    (State.COMPLETED, Event.TIMER_G): Step(State.COMPLETED, (Action.RESEND, Action.RESTART_DOUBLED_TO_T2)),
    # §17.2.1: "MUST transition to the 'Confirmed' state. As Timer G is ignored in this state ..."
    (State.COMPLETED, Event.ACK): Step(State.CONFIRMED, (), Event.TIMER_I),
    # §17.2.1: "it implies that the ACK was never received ... MUST indicate to the TU"
    (State.COMPLETED, Event.TIMER_H): Step(State.TERMINATED, (Action.TIMED_OUT,)),
    # §17.2.1: "to absorb any additional ACK messages that arrive"
    (State.CONFIRMED, Event.ACK): Step(State.CONFIRMED),
    (State.CONFIRMED, Event.REQUEST): Step(State.CONFIRMED),
    (State.CONFIRMED, Event.TIMER_I): Step(State.TERMINATED),
    # RFC 6026 §7.1: "MUST NOT discard transaction state based only on encountering a non-recoverable
    # transport error when sending a response", hence no row for one.
}

NON_INVITE_CLIENT: Table = {
    # §17.1.2.2: "SHOULD set timer F to fire in 64*T1 seconds. The request MUST be passed to the transport
    # layer ... If an unreliable transport is in use, the client transaction MUST set timer E"
    (State.INITIAL, Event.REQUEST): Step(State.TRYING, (Action.SEND,), Event.TIMER_F, Event.TIMER_E),
    # §17.1.2.2: "the timer is reset, but this time with a value of MIN(2*T1, T2)"
    (State.TRYING, Event.TIMER_E): Step(State.TRYING, (Action.RESEND, Action.RESTART_DOUBLED_TO_T2)),
    # §17.1.2.2: "SHOULD inform the TU about the timeout, and then it SHOULD enter the 'Terminated' state"
    (State.TRYING, Event.TIMER_F): Step(State.TERMINATED, (Action.TIMED_OUT,)),
    # §17.1.4: "SHOULD inform the TU that a transport failure has occurred"
    (State.TRYING, Event.TRANSPORT_ERROR): Step(State.TERMINATED, (Action.FAILED,)),
    # §17.1.2.2: "the response MUST be passed to the TU, and then ... 'Proceeding'"
    (State.TRYING, Event.PROVISIONAL): Step(State.PROCEEDING, (Action.PASS_UP,)),
    # §17.1.2.2: "the response MUST be passed to the TU, and the client transaction MUST transition to the
    # 'Completed' state ... Once the client transaction enters the 'Completed' state, it MUST set Timer K"
    (State.TRYING, Event.FINAL): Step(State.COMPLETED, (Action.PASS_UP,), Event.TIMER_K),
    # §17.1.2.2: "Timer E MUST be reset with a value of T2 seconds"
    (State.PROCEEDING, Event.TIMER_E): Step(State.PROCEEDING, (Action.RESEND, Action.RESTART_T2)),
    (State.PROCEEDING, Event.TIMER_F): Step(State.TERMINATED, (Action.TIMED_OUT,)),
    (State.PROCEEDING, Event.TRANSPORT_ERROR): Step(State.TERMINATED, (Action.FAILED,)),
    (State.PROCEEDING, Event.PROVISIONAL): Step(State.PROCEEDING, (Action.PASS_UP,)),
    (State.PROCEEDING, Event.FINAL): Step(State.COMPLETED, (Action.PASS_UP,), Event.TIMER_K),
    # §17.1.2.2: "exists to buffer any additional response retransmissions": no row passes one up
    (State.COMPLETED, Event.FINAL): Step(State.COMPLETED),
    # §17.1.2.2: "If Timer K fires while in this state, the client transaction MUST transition"
    (State.COMPLETED, Event.TIMER_K): Step(State.TERMINATED),
}

INVITE_CLIENT: Table = {
    # §17.1.1.2: "MUST start timer A with a value of T1 [unless reliable] ... For any transport, the client
    # transaction MUST start timer B with a value of 64*T1 seconds"
    (State.INITIAL, Event.REQUEST): Step(State.CALLING, (Action.SEND,), Event.TIMER_B, Event.TIMER_A),
    # §17.1.1.2: "the request is retransmitted with intervals that double after each transmission"
    (State.CALLING, Event.TIMER_A): Step(State.CALLING, (Action.RESEND, Action.RESTART_DOUBLED)),
    # §17.1.1.2: "SHOULD inform the TU that a timeout has occurred"
    (State.CALLING, Event.TIMER_B): Step(State.TERMINATED, (Action.TIMED_OUT,)),
    (State.CALLING, Event.TRANSPORT_ERROR): Step(State.TERMINATED, (Action.FAILED,)),
    # §17.1.1.2: "it transitions to the 'Proceeding' state. In the 'Proceeding' state, the client transaction
    # SHOULD NOT retransmit the request any longer."
    (State.CALLING, Event.PROVISIONAL): Step(State.PROCEEDING, (Action.PASS_UP,)),
    # RFC 6026 §8.4: on a 2xx "the client transaction MUST transition to the 'Accepted' state", which Timer M
    # ends; "The client transaction MUST NOT generate an ACK to the 2xx response"
    (State.CALLING, Event.SUCCESS): Step(State.ACCEPTED, (Action.PASS_UP,), Event.TIMER_M),
    # §17.1.1.2: "MUST pass the received response up to the TU, and the client transaction MUST generate an
    # ACK request, even if the transport is reliable ... SHOULD start timer D"
    (State.CALLING, Event.FAILURE): Step(State.COMPLETED, (Action.SEND_ACK, Action.PASS_UP), Event.TIMER_D),
    (State.PROCEEDING, Event.PROVISIONAL): Step(State.PROCEEDING, (Action.PASS_UP,)),
    (State.PROCEEDING, Event.SUCCESS): Step(State.ACCEPTED, (Action.PASS_UP,), Event.TIMER_M),
    (State.PROCEEDING, Event.FAILURE): Step(State.COMPLETED, (Action.SEND_ACK, Action.PASS_UP), Event.TIMER_D),
    # RFC 6026 §7.2: a 2xx in "Accepted" goes to the TU, which acknowledges it; a forked INVITE brings several
    (State.ACCEPTED, Event.SUCCESS): Step(State.ACCEPTED, (Action.PASS_UP,)),
    # RFC 6026 §8.4: "If Timer M fires while the client transaction is in the 'Accepted' state ..."
    (State.ACCEPTED, Event.TIMER_M): Step(State.TERMINATED),
    # §17.1.1.2: "MUST cause the ACK to be re-passed to the transport layer for retransmission, but the newly
    # received response MUST NOT be passed up to the TU"
    (State.COMPLETED, Event.FAILURE): Step(State.COMPLETED, (Action.SEND_ACK,)),
    # §17.1.1.2, figure 5: the ACK could not be sent
    (State.COMPLETED, Event.TRANSPORT_ERROR): Step(State.TERMINATED, (Action.FAILED,)),
    # §17.1.1.2: "If timer D fires while the client transaction is in the 'Completed' state"
    (State.COMPLETED, Event.TIMER_D): Step(State.TERMINATED),
}
