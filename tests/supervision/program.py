"""A small supervised server, which the tests start in a separate process: `program.py OPTIONS`, a JSON object.

It reports events on stdout, one unbuffered line each: "mold PID", "up NAME PID", "end NAME PID", "died NAME PID",
"close_for STAGE".
Workers share one listener and serve one client after another. A client sends one line and receives one:
    who          NAME PID RANDOM
    work S       the same, S seconds later
    stick        never answered: the worker is stuck, as user code can be
    crash        the role raises an error
Fronts (stage 0) accept one connection on the gate after their lifeline has ended, and then exit.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import random
import select
import signal
import socket
import sys
import threading
import time
from functools import partial

from poolctl.errors import AppError
from poolctl.runtime.lifeline import Life
from poolctl.supervision.configuration import Configuration
from poolctl.supervision.plan import Plan, Role
from poolctl.supervision.supervisor import Supervisor

OPTIONS = {
    "workers": 2,
    "fronts": 0,
    "drain": 10.0,
    "build": "",  # "raise", "app-error" or "exit": what goes wrong in build()
    "slow": False,  # build() waits for a connection on the gate
    "broken": "",  # a path: while it exists, build() raises
    "missing": "",  # a path: while it exists, a worker raises before it is ready
    "role": "",  # "raise", "huge", "app-error", "exit", "die": what goes wrong before a worker is ready
    "enforce": False,  # workers call Life.enforce
    "hide": [],  # signals that are blocked when the program starts
} | json.loads(sys.argv[1])


def tell(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def listen() -> socket.socket:
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    listener.setblocking(False)
    return listener


service, gate = listen(), listen()


def fail(how: str) -> None:
    if how == "raise":
        raise ValueError("no such table: shop")
    if how == "huge":
        raise ValueError("x" * 1_000_000 + " the end of it")
    if how == "app-error":
        raise AppError("cannot import 'shop.wsgi': write app: {wsgi: package.module:callable}")
    if how == "exit":
        sys.exit("the app wants to leave")
    if how == "die":
        os._exit(7)


def front(name: str, life: Life) -> None:
    tell("up", name, os.getpid())
    life.ready()
    select.select([life.lifeline], [], [])
    tell("end", name, os.getpid())
    select.select([gate], [], [])
    gate.accept()[0].close()


def worker(name: str, life: Life) -> None:
    fail(OPTIONS["role"])
    if OPTIONS["missing"] and os.path.exists(OPTIONS["missing"]):
        raise ValueError("no such file")
    tell("up", name, os.getpid())
    life.ready()
    if OPTIONS["enforce"]:
        life.enforce()
    ended = False
    while True:
        found, _, _ = select.select([service] if ended else [service, life.lifeline], [], [], 0 if ended else None)
        if service in found and answer(name):
            continue
        if ended:
            return
        if life.lifeline in found:
            tell("end", name, os.getpid())
            ended = True


def answer(name: str) -> bool:
    try:
        client, _ = service.accept()
    except OSError as error:
        return error.errno != errno.EINVAL  # the supervisor has shut it; otherwise another worker was faster
    with client:
        client.settimeout(5)
        match client.makefile().readline().split():
            case ["who"]:
                pass
            case ["work", seconds]:
                client.sendall(b"working ")
                time.sleep(float(seconds))
            case ["stick"]:
                client.sendall(b"stuck\n")
                while True:
                    time.sleep(60)
            case ["crash"]:
                raise ValueError("a role that crashes")
        thread = threading.current_thread().name.replace(" ", "_")
        client.sendall(f"{name.replace(' ', '_')} {os.getpid()} {random.random()} {thread}\n".encode())
    return True


class Program(Plan):
    name = "shop"

    def __init__(self) -> None:
        tell("mold", os.getpid())
        fail(OPTIONS["build"])
        if OPTIONS["slow"]:
            select.select([gate], [], [])
        if OPTIONS["broken"] and os.path.exists(OPTIONS["broken"]):
            raise ValueError("a bad release")
        self.drain = OPTIONS["drain"]
        channel = [end.detach() for end in socket.socketpair()]  # that no role keeps
        self.owned = {service.fileno(), gate.fileno(), *channel}
        self.roles = [
            Role(f"front {number}", f"poolctl: front shop {number}", partial(front, f"front {number}"),
                 frozenset({gate.fileno()}), 0)
            for number in range(OPTIONS["fronts"])
        ] + [
            Role(f"worker {number}", f"poolctl: worker shop {number}", partial(worker, f"worker {number}"),
                 frozenset({service.fileno()}), 1)
            for number in range(OPTIONS["workers"])
        ]  # fmt: skip

    def died(self, role: Role, pid: int) -> None:
        tell("died", role.name, pid)

    def close_for(self, stage: int) -> None:
        tell("close_for", stage)


class Shop(Configuration):
    name = "shop"
    drain = OPTIONS["drain"]
    listeners = (service,)

    def build(self) -> Program:
        return Program()

    def announce(self) -> None:
        tell("serving", *ports)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    signal.pthread_sigmask(signal.SIG_BLOCK, OPTIONS["hide"])
    ports = [listener.getsockname()[1] for listener in (service, gate)]
    tell("ports", *ports)
    supervisor = Supervisor(Shop())
    with service, gate:
        sys.exit(supervisor.run())
