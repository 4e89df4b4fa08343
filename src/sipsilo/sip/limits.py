"""How much of anything one message may hold. Each limit has its reason beside it."""

MAX_DATAGRAM = 65_535
"""Bytes; what UDP can carry (RFC 3261 §18.1.1: implementations MUST handle up to the maximum datagram)."""

MAX_HEAD = 32_768
"""Bytes of start line and header fields; ten times what phones and a long Via chain need."""

MAX_BODY = 131_072
"""Bytes; RFC 3428 is for messages of page size, larger content goes by reference. A queue of 10,000
waiting stores of this size is the most memory that a sender can bind."""

MAX_HEADERS = 200
"""Header field lines; a request through 70 hops (Max-Forwards) with one Via line each still passes."""

MAX_LIST = 100
"""Values in one comma-separated header, all its lines together (70 Vias pass)."""

MAX_URI = 2_048
"""Characters of one URI."""
