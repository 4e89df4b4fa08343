"""What becomes of a request."""
