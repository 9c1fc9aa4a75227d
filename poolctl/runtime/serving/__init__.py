"""Serving connections that belong to a worker: read, answer, wait, end.

The worker's thread runs a loop; each connection is a handler in it that reads what came, has each complete request
answered by the app, and keeps what the client does not take yet. A loop serves either its own connections, or, with
several threads, one event set that all of them share (``shared_connection``). The error boundary around the app is
``service``.
"""
