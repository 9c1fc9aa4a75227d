"""WebSockets without sockets: the handshake, and messages to frames (RFC 6455 and 7692)."""
