"""The server: one folder for each key of the topology, and the common ground they stand on."""
