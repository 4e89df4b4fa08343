"""Sockets, and nothing else: bytes in with the flow that they came on, bytes out over a flow."""
