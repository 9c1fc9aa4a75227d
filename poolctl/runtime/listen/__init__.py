"""From an address to a connection that may be served: binding, accepting, and what happens before the first request.

listener.py                  a listening socket, opened by the supervisor and kept across generations
listening.py                 a listener in a loop: accept
door.py                      what a connection passes before the loop serves it
proxy_door.py                the PROXY header of a load balancer
tls_door.py, tunnel.py       TLS, in the loop that serves the connection
tls_pipe.py                  its bytes and its phases
tls.py, tls_files.py         certificates
"""
