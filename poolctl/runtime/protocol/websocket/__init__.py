"""WebSockets without I/O: the handshake, and messages to and from frames (RFC 6455 and 7692)."""
