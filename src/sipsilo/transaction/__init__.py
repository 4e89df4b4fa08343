"""RFC 3261 §17: one request, its responses, their retransmissions. Pure: no I/O, time is an argument."""
