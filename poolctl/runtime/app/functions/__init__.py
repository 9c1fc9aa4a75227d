"""Plain and ``async def`` functions as apps, called with a line, a frame or a stream."""
