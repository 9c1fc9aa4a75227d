"""Serving connections in the event loop of an asynchronous app: the same as ``serving``, with tasks in place of calls.

One loop of asyncio runs in each worker. A connection reads by the poller of that loop, starts a task for each request,
and writes what the app sends; the app is awaited and never blocks a thread. What comes first stands in ``connection``;
HTTP/2, WebSockets and the connections of apps that speak lines, frames or a stream have a file each.
"""
