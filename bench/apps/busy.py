"""A CPU-bound WSGI application: the same few milliseconds of Python for each request."""

TURNS = 50_000


def wsgi(environ, start_response):
    total = 0
    for number in range(TURNS):
        total += number
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
    return [b"ok"]
