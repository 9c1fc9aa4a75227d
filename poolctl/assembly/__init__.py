"""The registry from words to classes, the rules about combinations, and the assembly of a server."""
