"""HTTP/1.1 without I/O: turns bytes into requests, and responses into bytes (RFC 9110 and 9112)."""
