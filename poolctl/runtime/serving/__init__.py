"""Serving connections that belong to a worker: read, answer, wait, end.

The worker's thread runs a loop. Each connection is a handler in it, which reads the client's bytes, lets the app answer
each complete request, and keeps the bytes that the client does not take yet. A loop serves its own connections, or with
several threads one event set that all of them share (``shared_connection``). The error boundary around the app is in
``service``.
"""
