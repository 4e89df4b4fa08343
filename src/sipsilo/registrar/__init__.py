"""Who is where: bindings of addresses of record to contacts (RFC 3261 §10)."""
