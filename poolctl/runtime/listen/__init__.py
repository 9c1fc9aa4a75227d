"""From an address to a connection ready to be served: bind, accept, and all steps before the first request.

    listener.py                a listening socket, opened by the supervisor and kept across generations
    listening.py               a listener in a loop: accept
    server_stop.py             whether the whole server is stopping, and its listeners with it
    moves.py                   idle connections that move to other processes of the server
    door.py                    the steps between accept and the loop that serves the connection
    proxy_door.py              the PROXY header of a load balancer
    tls_door.py, handshake.py  TLS, in the loop that serves the connection
    tls_socket.py              the TLS of a connection, with the calls of a plain descriptor
    tunnel.py, tls_pipe.py     TLS spoken for others: for a worker to which a connection is lent, an app that owns it
    tls.py, tls_files.py       certificates

Doors never block: while a client is slow to get through one, it is a handler of the loop with a deadline.
"""
