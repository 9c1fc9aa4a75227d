"""A WSGI application with two kinds of requests: /slow blocks for 100 ms, everything else for 2 ms."""

import time


def wsgi(environ, start_response):
    time.sleep(0.1 if environ["PATH_INFO"] == "/slow" else 0.002)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
    return [b"ok"]
