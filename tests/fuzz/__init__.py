"""Fuzzers of whole servers: seeded sequences of bytes and events over real sockets, and what must hold after them.

    http1 http2 websocket tls proxy plain      generators: a random.Random becomes a Sequence
    sequence                                   what a client does on one connection, as data that can be printed
    driver                                     many sequences at once, in one thread
    targets                                    every ownership in every pool, every app, every door
    oracle                                     what holds after each batch
    campaign                                   batches against a target; a failure is narrowed down to one sequence

A sequence depends on the seed, its protocol and its number alone:

    POOLCTL_FUZZ_SEED=N     another seed than that of the tests
    POOLCTL_FUZZ_ONLY=N     this one sequence of each protocol, again and again, instead of all
    POOLCTL_FUZZ_FACTOR=N   so many times as many sequences
"""
