"""What a proxy does to a request and to its responses (RFC 3261 §16). Pure."""
