"""The access log: one line for each request. Nothing here is imported, and nothing called, where it is off."""
