"""What a SIP message is: URIs, header values, requests, responses, parsers. Pure: no I/O, no clock."""
