"""Serving connections in the event loop of an async app: the same as ``serving``, with tasks in place of calls.

One asyncio event loop runs in each worker. A connection reads when the loop's poller reports bytes, starts a task for
each request, and writes what the app sends; the app is awaited and never blocks a thread. Read ``connection`` first;
HTTP/2, WebSockets and the connections of apps that speak lines, frames or a stream have a file each.
"""
