"""HTTP/1.1 without sockets: bytes to requests, responses to bytes (RFC 9110 and 9112)."""
