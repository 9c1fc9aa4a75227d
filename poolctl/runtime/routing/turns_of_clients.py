"""``fair: client``: the clients of a class take turns, by deficit round robin (Shreedhar and Varghese, "Efficient Fair
Queueing using Deficit Round Robin", IEEE/ACM Transactions on Networking 4(3), 1996).

    10.0.0.7  | task task task task task     -0.3 s   has had more than its share: its turns pass
    10.0.0.8  | task                          0.1 s   goes next

A packet's length is known before it is sent, a request's time only afterwards. So a task is charged what one of its
class takes on average when it goes to a worker, and the difference when it is done. A client that has nothing in the
line is forgotten, and what it owes with it: the table is bounded by what waits.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from poolctl.runtime.routing.waiting import Waiting, take_out
from poolctl.runtime.task import Task

DEBT_TURNS: Final = 8  # the most that a client may owe, in turns: one long request must not lock it out
LEAST_TURN_SECONDS: Final = 0.0001  # of a turn, while no service time is known
NETWORK_GROUPS: Final = 4  # of an IPv6 address: a client has a /64 of its own (RFC 6177)


def client_of(task: Task) -> str:
    """Return the client that takes turns with others: an IPv4 address, or the /64 network of an IPv6 address."""
    host = task.peer.client_host
    return _network(host) if ":" in host else host


@lru_cache(maxsize=1024)
def _network(host: str) -> str:
    from ipaddress import ip_address  # rarely needed, and slow to import

    try:
        groups = ip_address(host.partition("%")[0]).exploded.split(":")
    except ValueError:  # the path of a unix socket
        return host
    return ":".join(groups[:NETWORK_GROUPS])


class Client:
    """One client with tasks in the line. ``credit``: seconds that it may still use; ``has_turn``: this turn has been
    added to them."""

    def __init__(self) -> None:
        self.entries: deque[Waiting] = deque()
        self.credit = 0.0
        self.has_turn = False


class TurnsOfClients:
    """The line of one class."""

    def __init__(self) -> None:
        self._clients: OrderedDict[str, Client] = OrderedDict()  # the one with the next turn first
        self._by_age: OrderedDict[int, Waiting] = OrderedDict()  # by connection, the oldest first

    def __iter__(self) -> Iterator[Waiting]:
        return iter(list(self._by_age.values()))

    @property
    def oldest(self) -> Waiting:
        """The oldest task; there is one."""
        return next(iter(self._by_age.values()))

    def add(self, entry: Waiting) -> None:
        """Put a task at the end of its client's line."""
        self._of(entry).entries.append(entry)
        self._by_age[entry.connection] = entry

    def put_back(self, entry: Waiting) -> None:
        """Put a task at the head of its client's line."""
        self._of(entry).entries.appendleft(entry)
        self._by_age[entry.connection] = entry
        self._by_age.move_to_end(entry.connection, last=False)

    def _of(self, entry: Waiting) -> Client:
        name = client_of(entry.task)
        client = self._clients.get(name)
        if client is None:
            client = self._clients[name] = Client()
        return client

    def head(self, newest: bool, service: float) -> Waiting:
        """Return the task that goes next. ``newest``: of its client the newest, not the oldest; ``service``: seconds
        of a turn."""
        turn = _turn(service)
        while True:
            name, client = next(iter(self._clients.items()))
            if not client.has_turn:
                client.has_turn = True
                client.credit = max(client.credit, -DEBT_TURNS * turn) + turn
            if client.credit > 0:
                return client.entries[-1 if newest else 0]
            client.has_turn = False
            self._clients.move_to_end(name)

    def remove(self, entry: Waiting) -> None:
        """Take a task out. A client that owes something has its next turn after those of all others."""
        name = client_of(entry.task)
        client = self._clients[name]
        take_out(entry, client.entries)
        del self._by_age[entry.connection]
        if not client.entries:
            del self._clients[name]
        elif client.credit <= 0:
            client.has_turn = False
            self._clients.move_to_end(name)

    def charge(self, task: Task, service: float) -> None:
        """A task of this client goes to a worker, and takes so many seconds on average."""
        self._add(task, -_turn(service), service)

    def settle(self, task: Task, seconds: float, service: float) -> None:
        """A task of this client has taken so many seconds, and not what it was charged."""
        self._add(task, _turn(service) - seconds, service)

    def _add(self, task: Task, seconds: float, service: float) -> None:
        client = self._clients.get(client_of(task))
        if client is not None:
            client.credit = max(client.credit + seconds, -DEBT_TURNS * _turn(service))

    def newest_of_most(self) -> Waiting:
        """Return the newest task of the client with the most; there is one."""
        return max(self._clients.values(), key=_length).entries[-1]


def _length(client: Client) -> int:
    return len(client.entries)


def _turn(service: float) -> float:
    return max(service, LEAST_TURN_SECONDS)
