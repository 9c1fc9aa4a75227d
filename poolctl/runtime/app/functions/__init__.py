"""Plain functions as apps: called with a line, a frame or a stream, and the same awaited."""
