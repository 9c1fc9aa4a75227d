"""Messages between the processes, or the threads, of one generation.

front -- inbox --> worker       tasks, with descriptors beside them
front <-- returns -- worker     connections that come back
mold -- notices --> front       a worker has died
"""
