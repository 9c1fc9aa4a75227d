"""The registry from words to classes, the rules about combinations, and the assembly of a server.

Deferred imports: a topology pays only for the parts and checks that it has, so commands start fast and workers stay
small. Plugins and modules for findings, TLS and the checks of the environment are imported when they are needed.
"""
