"""HTTP/2 without sockets: frames to requests of many streams, and back (RFC 9113)."""
