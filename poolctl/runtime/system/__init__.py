"""The kernel, wrapped thinly: pollers, sockets, users, threads and forks, without a word of topologies."""
