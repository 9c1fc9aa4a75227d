"""How much memory a strategy holds."""

from __future__ import annotations

import gc
import sys
from typing import Any

from poolctl.runtime.inbox_view import InboxView
from poolctl.runtime.queue_view import QueueView


def allocated_blocks() -> int:
    """Return the number of memory blocks of this process, which also covers what size_of cannot see: closures and
    caches."""
    gc.collect()
    return sys.getallocatedblocks()


def size_of(thing: Any) -> int:
    """Return the bytes of an object, including its attributes and the contents of its containers."""
    seen: set[int] = set()
    total, left = 0, [thing]
    while left:
        each = left.pop()
        if id(each) in seen or isinstance(each, type | InboxView | QueueView):
            continue
        seen.add(id(each))
        total += sys.getsizeof(each)
        if isinstance(each, dict):
            left += [*each.keys(), *each.values()]
        elif isinstance(each, list | tuple | set | frozenset) or type(each).__name__ == "deque":
            left += list(each)
        else:
            left += list(getattr(each, "__dict__", {}).values())
            left += [getattr(each, name) for name in getattr(type(each), "__slots__", ()) if hasattr(each, name)]
    return total
