"""Sentences that init, explain and the documentation all say, each written once so that they cannot contradict each
other (tests/docs compares the pages with them)."""

ONE_INTERPRETER = (
    "the threads of a process share one interpreter, and with the GIL one of them computes at a time: CPU-bound work"
    " scales with processes"
)
FREE_THREAD = "a request goes to the process with the fewest unfinished requests that has a free thread"
FREE_ROOM = "a request goes to the worker with the fewest unfinished requests that has room for one more"
ANY_WORKER = "any worker that is free takes the oldest request"
WAITS_IN_FRONT = "While none has, requests wait in the front, first in, first out."


def capital(sentence: str) -> str:
    """The same with a capital letter, to begin a sentence."""
    return sentence[0].upper() + sentence[1:]
