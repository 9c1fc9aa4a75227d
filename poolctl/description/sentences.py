"""Sentences that init, explain and the documentation share, so that they cannot contradict each other (tests/docs
compares the pages with them)."""

ONE_INTERPRETER = (
    "the threads of a process share one interpreter, and with the GIL one of them computes at a time: CPU-bound work"
    " scales with processes"
)
FREE_THREAD = "a request goes to the process with the fewest unfinished requests that has a free thread"
FREE_ROOM = "a request goes to the worker with the fewest unfinished requests that has room for one more"
ANY_WORKER = "any free worker takes the oldest request"
WAITS_IN_FRONT = "If there is none, requests wait in the front, first in, first out."


def capital(sentence: str) -> str:
    """Return the sentence with its first letter in upper case."""
    return sentence[0].upper() + sentence[1:]
