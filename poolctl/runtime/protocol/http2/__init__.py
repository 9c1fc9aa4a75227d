"""HTTP/2 without I/O: turns frames into requests on many streams, and responses into frames (RFC 9113)."""
