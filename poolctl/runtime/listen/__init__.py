"""From an address to a connection that may be served: binding, accepting, and what happens before the first request.

A listener is opened by the supervisor and kept across generations. What a connection passes before it reaches a loop is
its door: the PROXY header of a load balancer, and the handshake of TLS, which a thread of its own tunnels.
"""
