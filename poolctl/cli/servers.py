"""Finding running servers and asking them over their control sockets, for every command that does so.

The protocol is that of `poolctl.supervision.control`. A server is named by its name, its PID, its topology, the folder
of that, or its app; without a name the only running one is meant.

The file is long because finding a server and asking it need each other.
"""

from __future__ import annotations

import json
import os
import socket
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, NoReturn, Self

import typer

from poolctl.cli.output import echo
from poolctl.supervision.control_socket import (
    PROTOCOL_VERSION,
    SUFFIX,
    folders,
    is_own_folder,
    listed_by_kernel,
    server_of,
)

if TYPE_CHECKING:
    from types import TracebackType

ServerArgument = Annotated[
    str,
    typer.Argument(metavar="NAME|FILE|FOLDER|APP", help="A server's name or PID, or its topology.", show_default=False),
]
ANSWER_SECONDS = 2.0  # seconds that a supervisor has to answer a question about itself
LINE_BYTES = 1 << 22  # of a line of an answer
TOPOLOGY = (".yaml", ".yml")  # what the name of a file ends with that is one
NOT_RUNNING = 1
FAILED = 1
INVALID = 2  # the topology that names a server is not valid


class NoAnswer(Exception):
    """Raised when a server cannot be asked, or ends in the middle of an answer. The text says what happened."""


class Gone(NoAnswer):
    """Raised when no server listens on a socket: its server was killed, or has just ended."""


class Located(NamedTuple):
    """A control socket, and the server that it should belong to."""

    name: str
    pid: int
    path: str

    def __str__(self) -> str:
        return f"{self.name} (pid {self.pid})"


class Asking:
    """One request to a server. A context manager; its lines are in the order of their arrival."""

    def __init__(self, path: str, do: str, seconds: float | None, **arguments: Any) -> None:
        """Connect and send the request. ``seconds`` that each line of the answer may take; None: any time.

        Raises:
            Gone: no server listens there.
            NoAnswer: the socket cannot be used.
        """
        self._arrived: deque[bytes] = deque()  # whole lines
        self._rest = b""
        self._seconds = seconds
        self.sock = _connected(path)
        try:
            self.sock.sendall(json.dumps({"poolctl": PROTOCOL_VERSION, "do": do, **arguments}).encode() + b"\n")
        except OSError as error:
            self.sock.close()
            raise NoAnswer(_told(error)) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.sock.close()

    def lines(self) -> Iterator[dict[str, Any]]:
        """Yield the lines of the answer, up to the last one, which has `done`.

        Raises:
            NoAnswer: the server takes too long, ends, or says something that is not a line of the protocol.
        """
        while True:
            line = self._line()
            yield line
            if line.get("done"):
                return

    def _line(self) -> dict[str, Any]:
        self.sock.settimeout(self._seconds)
        while not self._arrived:
            try:
                data = self.sock.recv(65536)
            except OSError as error:
                raise NoAnswer(_told(error)) from None
            if not data:
                raise NoAnswer("the server ended before it had answered")
            *whole, self._rest = (self._rest + data).split(b"\n")
            self._arrived += whole
            if len(self._rest) > LINE_BYTES:
                raise NoAnswer("the answer is too long")
        try:
            line = json.loads(self._arrived.popleft())
        except ValueError:
            line = None
        if not isinstance(line, dict):
            raise NoAnswer("the answer is not that of this version of poolctl")
        return line


def _told(error: OSError) -> str:
    return "no answer in time" if isinstance(error, TimeoutError) else error.strerror or type(error).__name__


def _connected(path: str) -> socket.socket:
    """Return a connection to a control socket. A path that this mount namespace lacks is also tried in that of its
    server (`PrivateTmp=yes` of systemd). Raises Gone and NoAnswer."""
    try:
        return _connected_in("", path)
    except FileNotFoundError as missing:
        server = server_of(path)
        with suppress(OSError):  # it has ended, or the kernel does not let this process look there
            return _connected_in(f"/proc/{server[1]}/root" if server else "", path)
        raise Gone(_told(missing)) from None
    except (ConnectionRefusedError, NotADirectoryError) as error:
        raise Gone(_told(error)) from None
    except OSError as error:
        raise NoAnswer(_told(error)) from None


def _connected_in(root: str, path: str) -> socket.socket:
    """Return a connection to a socket below a root. Raises OSError."""
    folder = os.open(root + os.path.dirname(path), os.O_PATH | os.O_DIRECTORY)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(ANSWER_SECONDS)
        # A socket's path has at most 107 bytes (unix(7)); that of its folder's descriptor is short.
        sock.connect(f"/proc/self/fd/{folder}/{os.path.basename(path)}")
    except BaseException:
        sock.close()
        raise
    finally:
        os.close(folder)
    return sock


def answer(path: str, do: str, **arguments: Any) -> dict[str, Any]:
    """Return the result of a command that answers at once. Raises NoAnswer, also for an error in the answer."""
    with Asking(path, do, ANSWER_SECONDS, **arguments) as asking:
        *_, last = asking.lines()
    if "error" in last:
        raise NoAnswer(": ".join(filter(None, (last["error"], last.get("fix")))))
    result: dict[str, Any] = last.get("result", {})
    return result


# Finding


def control_sockets() -> list[Located]:
    """Return the control sockets in the usual folders and in the kernel's list, of dead servers too."""
    usual = [folder for folder in dict.fromkeys(folders()) if is_own_folder(folder)]
    paths = [os.path.join(folder, name) for folder in usual for name in sorted(os.listdir(folder))]
    found: dict[tuple[str, int], Located] = {}
    for path in [*(path for path in paths if path.endswith(SUFFIX)), *listed_by_kernel()]:
        server = server_of(path)
        if server:
            found.setdefault(server, Located(*server, path))  # a folder may have two names
    return list(found.values())


def statuses(sockets: Iterable[Located]) -> tuple[list[tuple[Located, dict[str, Any]]], list[Located]]:
    """Return the status of each server that answers, and the servers that do not, for which it prints warnings. The
    sockets of dead servers are skipped."""
    answered, silent = [], []
    for found in sockets:
        try:
            answered.append((found, answer(found.path, "status")))
        except Gone:
            continue
        except NoAnswer as error:
            echo(f"warning: {found} does not answer on {found.path}: {error}", err=True)
            silent.append(found)
    return [each for each in answered if not _is_replaced(each, answered)], silent


def _is_replaced(server: tuple[Located, dict[str, Any]], every: list[tuple[Located, dict[str, Any]]]) -> bool:
    """Whether this is one of two supervisors of a server, in the moment of an upgrade, and not the one in charge."""
    found, status = server
    return status.get("state") == "upgrading" and any(
        found.name == other.name and theirs.get("state") != "upgrading" for other, theirs in every
    )


def look(what: str, invalid: int = INVALID) -> tuple[str, list[Located], list[tuple[Located, dict[str, Any]]], bool]:
    """Return the name that ``what`` means, all sockets, the status of each server that is meant, and whether others do
    not answer.

    A topology's file or folder means the servers that were started with that file, whatever it says now.
    """
    for _ in range(2):  # in the moment of an upgrade the socket that was found is that of the process before
        sockets = control_sockets()
        name, matching, file = named(what, sockets, invalid)
        answered, silent = statuses(matching)
        if file:
            answered = [each for each in answered if same_file(each[1].get("file", ""), file)]
        if answered or silent or not matching:
            break
    return name, sockets, answered, bool(silent)


def named(what: str, sockets: Iterable[Located], invalid: int = INVALID) -> tuple[str, list[Located], str]:
    """Return the name that ``what`` means, and the sockets that match it; all sockets if it is empty. If it is a file
    or a folder, return all sockets too, and the path of the topology."""
    every = list(sockets)
    if not what:
        return "", every, ""
    for matching in (
        [each for each in every if each.name == what],
        [each for each in every if what == str(each.pid)],
    ):
        if matching:
            return what, matching, ""
    if what.endswith(TOPOLOGY) or os.path.isdir(what):
        from poolctl.cli.inputs import topology_file

        file = topology_file(what)
        return file, every, os.path.abspath(file)
    name = _name_of_app(what, invalid)
    return name, [each for each in every if each.name == name], ""


def same_file(file: str, other: str) -> bool:
    """Whether two absolute paths name one file, which need not exist any more."""
    return bool(file) and (file == other or os.path.realpath(file) == os.path.realpath(other))


def _name_of_app(what: str, invalid: int) -> str:
    from poolctl.cli.inputs import is_app

    if not is_app(what):
        return what
    from poolctl.cli.load_or_exit import load_or_exit

    topology = load_or_exit(what, status=invalid).topology
    return topology.name if topology else ""


def one(what: str, invalid: int = INVALID) -> Located:
    """Return the one running server that is meant. Without it, or with several, print an error and exit with 1."""
    name, sockets, answered, silent = look(what, invalid)
    if not answered and silent:
        raise typer.Exit(FAILED)  # the warning has said all
    if not answered:
        not_running(name, sockets)
    running = [found for found, _ in answered]
    if len(running) > 1:
        several = ", ".join(map(str, running))
        if name.endswith(TOPOLOGY):
            kind, fix = f"servers run {name}", "name or pid"
        else:
            kind, fix = (f"servers are called {name}", "pid") if name else ("servers are running", "name or pid")
        echo(f"error: {len(running)} {kind}: {several}; name one by its {fix}", err=True)
        raise typer.Exit(FAILED)
    return running[0]


def not_running(name: str, sockets: Iterable[Located]) -> NoReturn:
    """Say that no such server is running and where it was looked for, and exit with 1."""
    from poolctl.similar import similar

    message = f"{name} is not running" if name else "no server of this user is running"
    searched = ", ".join(dict.fromkeys(folders()))
    near = similar(name, dict.fromkeys(each.name for each in sockets)) if name else None
    suggestion = f'; did you mean "{near}"?' if near else ""
    if name.endswith(TOPOLOGY) and not os.path.exists(name):
        suggestion = "; that file does not exist either: check the path"
    echo(f"{message} (searched {searched} and /proc/net/unix){suggestion}", err=True)
    raise typer.Exit(NOT_RUNNING)


def fail(error: str, fix: str = "", status: int = FAILED) -> NoReturn:
    """Print an error, which may have several lines, with its fix, and exit."""
    from poolctl.config.diagnostic import printable

    text = f"error: {error}{f'; {fix}' if fix else ''}"
    echo("\n".join(map(printable, text.splitlines())), err=True)
    raise typer.Exit(status)
