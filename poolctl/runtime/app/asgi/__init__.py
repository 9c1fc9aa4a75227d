"""ASGI applications (ASGI 3.0): a task for each request or WebSocket, and one for the lifespan."""
