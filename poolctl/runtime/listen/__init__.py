"""From an address to a connection that may be served: binding, accepting, and what happens before the first request.

    listener.py                a listening socket, opened by the supervisor and kept across generations
    listening.py               a listener in a loop: accept
    server_stop.py             whether the whole server stops, and its listeners with it
    door.py                    what a connection passes before the loop serves it
    proxy_door.py              the PROXY header of a load balancer
    tls_door.py, tunnel.py     TLS, in the loop that serves the connection
    tls_pipe.py                its bytes and its phases
    tls.py, tls_files.py       certificates

Doors never wait: a client that is slow in one is a handler of the loop, with a deadline.
"""
