"""ASGI applications (ASGI 3.0): one task for each request or WebSocket, and the lifespan beside them."""
