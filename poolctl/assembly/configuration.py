"""The configuration of a server from its parts: listeners, TLS contexts, access log, scoreboard.

The file is long because one object answers everything that the supervisor asks of a topology.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from poolctl.assembly.describe import assembled
from poolctl.assembly.development import distrust_bytecode, with_short_drain
from poolctl.assembly.doors import tls_contexts
from poolctl.assembly.environment.limits import descriptors, pairs, raise_descriptors
from poolctl.assembly.fitting.combination import REUSE_PORT
from poolctl.assembly.generation_plan import ServerPlan
from poolctl.assembly.host import Host
from poolctl.assembly.hot_change import hot_change
from poolctl.assembly.open_sockets import OpenSocket, OpenSockets
from poolctl.assembly.resolve import Parts
from poolctl.assembly.status import Board
from poolctl.errors import PoolctlError
from poolctl.runtime.app import AsyncApp
from poolctl.runtime.dispatch import KernelDispatch
from poolctl.runtime.listen.activation import Passed, open_passed, report_unused, take_passed
from poolctl.runtime.listen.listener import address_of, open_group, open_listener, own_end, resize_group
from poolctl.runtime.listen.moves import Moves
from poolctl.runtime.system.bpf import Instruction, attach, random_of
from poolctl.supervision.configuration import Configuration, Reviewer
from poolctl.supervision.totals import Meter

if TYPE_CHECKING:
    from poolctl.config.address import Address
    from poolctl.runtime.access_log.log import AccessLog
    from poolctl.runtime.app.refusal_page import RefusalPage

log = logging.getLogger("poolctl")


class ServerConfiguration(Configuration):
    """One version of a topology, with everything open that its generations inherit. A review's ``made`` is the pair of
    parts and reviewer of the next one."""

    def __init__(
        self,
        parts: Parts,
        host: Host,
        moves: Moves,
        reviewer: Reviewer | None = None,
        before: ServerConfiguration | None = None,
        size: int | None = None,
        page: RefusalPage | None = None,
        opened: OpenSockets | None = None,
        ports: Mapping[int, int] | None = None,
    ) -> None:
        """``before``: the configuration that this one replaces, whose open sockets and log it goes on with. ``opened``:
        the open sockets, if they are others. ``size``: workers that the file has, if the parts have others. ``page``:
        that of development; None in production. ``ports``: of the addresses, by index, that had any free one. Raises
        PoolctlError, and then has closed what it opened."""
        if page is not None:
            parts = with_short_drain(parts)
        topology = parts.topology
        self.host, self.moves, self.page = host, moves, page
        self.since: float = before.since if before else time.time()  # seconds since 1970: the start of the server
        self.name = topology.name
        self._serve(parts, reviewer)
        self.follows = before is not None or opened is not None
        self.workers, self.most = parts.workers, parts.most
        self.size = parts.workers if size is None else size
        if opened is None:
            opened = before.opened() if before else OpenSockets(passed=take_passed(os.environ))
        # by systemd, whatever the addresses are: those of a later configuration may differ
        self.passed: list[Passed] = opened.passed
        self.groups: list[list[socket.socket]] = []  # of each address
        self._to_steer: list[tuple[socket.socket, list[Instruction]]] = []  # a socket of each group that is resized
        self.access: AccessLog | None = None
        try:
            self._open_listeners(opened, ports or {})
            if self._grouped and self.follows and not self._to_steer:
                self._steer_anew(before)
            report_unused(self.passed, topology.listen)
            self.access = self._open_access_log(before)
            self.contexts = tls_contexts(parts)
        except BaseException:
            self.discard(before)
            raise
        self.reopen = self.access.reopen if self.access and self.access.path else None
        self.board = Board(parts)

    def _serve(self, parts: Parts, reviewer: Reviewer | None) -> None:
        """Note the parts, and what the supervisor reads of them."""
        topology = parts.topology
        self.parts, self.reviewer = parts, reviewer
        self.ready, self.notice, self.drain = topology.reload.ready, topology.timeouts.notice, topology.timeouts.drain
        self.stream = topology.timeouts.shorter_stream
        paired = pairs(topology, parts.combination)
        raise_descriptors(descriptors(topology.limits.connections, paired=paired))

    @property
    def listeners(self) -> list[socket.socket]:  # type: ignore[override]
        """Those of this server's own. Sockets passed to this process belong to its parent: clients queued there are
        served by the next server."""
        pairs = zip(self.groups, self.parts.topology.listen, strict=False)  # fewer groups if one could not be opened
        return [sock for group, address in pairs if not address.passed for sock in group]

    def _open_listeners(self, opened: OpenSockets, ports: Mapping[int, int]) -> None:
        """Open a socket for each address, or under reuse-port one for each worker, unless one is open."""
        topology, parts = self.parts.topology, self.parts
        named = {address.name for address in topology.listen if address.name}
        for number, given in enumerate(topology.listen):
            address = replace(given, port=ports[number]) if number in ports else given
            if address.scheme == "systemd":  # which sockets it has depends on the names of the others
                group = open_passed(address.name, named, topology.backlog, self.passed)
            elif kept := opened.take(address, grouped=self._grouped):
                group = self._as_large(kept, address)
                for sock in group:
                    sock.listen(topology.backlog)  # may be called again (listen(2)), for another backlog
            elif not self._grouped:
                group = [open_listener(address, topology.backlog)]
            else:
                group = open_group(address, topology.backlog, parts.workers, self._program())
            self.groups.append(group)

    def _program(self) -> list[Instruction]:
        assert isinstance(self.parts.dispatch, KernelDispatch)  # the rules allow no other kind
        return self.parts.dispatch.program(self.parts.workers)

    def _as_large(self, group: list[socket.socket], address: Address) -> list[socket.socket]:
        """Return an open group with as many sockets as there are workers, from when this configuration serves."""
        if not self._grouped or len(group) == self.parts.workers:
            return group
        backlog = self.parts.topology.backlog
        group, program = resize_group(group, address, backlog, self.parts.workers, self._program())
        self._to_steer.append((group[0], program))
        return group

    def _steer_anew(self, before: ServerConfiguration | None) -> None:
        """Have the kernel choose among the sockets of open groups as the strategy says, from when this configuration
        serves. ``before``: the configuration that this one replaces; None: another server's, whose strategy is not
        known."""
        if before is None and self._program():
            self._to_steer = [(group[0], self._program()) for group in self.groups]
        elif before is not None and before.parts.dispatch != self.parts.dispatch:
            self._to_steer = [(group[0], self._program() or random_of(len(group))) for group in self.groups]

    @property
    def _grouped(self) -> bool:
        return self.parts.combination.ownership == REUSE_PORT

    def opened(self) -> OpenSockets:
        """Return the open sockets, for the configuration that replaces this one."""
        pairs = zip(self.parts.topology.listen, self.groups, strict=True)
        opened = [OpenSocket.of(address, group, grouped=self._grouped) for address, group in pairs]
        return OpenSockets([each for each in opened if not each.at.startswith("systemd")], self.passed)

    def _open_access_log(self, before: ServerConfiguration | None) -> AccessLog | None:
        settings = self.parts.topology.access_log
        if settings is None:
            return None
        if before is not None and settings == before.parts.topology.access_log and self._user == before._user:
            return before.access
        from poolctl.runtime.access_log.log import AccessLog

        return AccessLog(settings.format, settings.to, self.host.identity)

    @property
    def _user(self) -> tuple[str, str]:
        return self.parts.topology.user, self.parts.topology.group

    # what the supervisor asks for

    def prepare(self) -> None:
        self.board.renew()

    def build(self) -> ServerPlan:
        if isinstance(self.parts.app, AsyncApp):
            import_event_loop_code(self.host)
        if self.page is not None:
            distrust_bytecode(self.since)
        self.host.apply()
        self.moves.page.close_descriptor()
        parts = replace(self.parts.here(), page=self.page)
        return ServerPlan(parts, self.groups, self.contexts, self.access, self.board, self.moves, beside=self.follows)

    def announce(self) -> None:
        for sock, program in self._to_steer:
            attach(sock, program)
        self._to_steer.clear()
        self.moves.allow(self.parts.ownership is not None)
        what = ", ".join(assembled(self.parts.combination, self.parts.workers))
        log.info("%s serves on %s: %s", self.name, self._where(), what)

    def summary(self) -> str:
        return f"serving on {self._where()}: {assembled(self.parts.combination, self.parts.workers)[0]}"

    def _where(self) -> str:
        """Return all addresses. systemd may pass several sockets for one; a group under reuse-port shares one."""
        shown = [self._shown(sock, number) for number, group in enumerate(self.groups) for sock in group]
        return ", ".join(dict.fromkeys(shown))

    def _shown(self, sock: socket.socket, number: int) -> str:
        """Return an address, as a URL if the protocol is HTTP, so that terminals make it a link."""
        shown = address_of(sock)
        scheme = "https" if self.parts.topology.listen[number].tls else "http"
        http = self.parts.protocols[number].name == "http"
        return shown.replace("tcp://", f"{scheme}://") if http else shown

    def figures(self, workers: int = 0) -> dict[str, Any]:
        return {"assembly": assembled(self.parts.combination, workers or self.workers), **self.board.figures()}

    def meter(self) -> Meter:
        return self.board.meter()

    def bequest(self) -> tuple[dict[str, Any], set[int]]:
        content, fds = self.opened().bequest()
        ends = [self.moves.writer.fileno(), self.moves.reader.fileno()]
        return {**content, "moves": ends, "page": self.moves.page.fd}, {*fds, *ends, self.moves.page.fd}

    def take_over(self) -> list[int]:
        self.host.take_over()
        self.moves.belongs_to(os.getpid())
        return [sock.fileno() for sock in self.listeners]

    def release(self) -> None:
        self.host.release()

    def resume(self, failed: int) -> None:
        self.moves.belongs_to(os.getpid())
        self.moves.allow(self.parts.ownership is not None)
        self.host.resume(failed)

    def leave(self) -> None:
        self.discard(None)
        self.moves.close()
        for each in self.passed:
            os.close(each.fd)

    def successor(self, made: Any) -> ServerConfiguration:
        parts, reviewer = made
        host = self.host.successor(parts.topology, parts.module_folder)
        return ServerConfiguration(parts, host, self.moves, reviewer, before=self, page=self.page)

    def resized(self, size: int) -> ServerConfiguration:
        parts = self.parts
        if not hasattr(parts.pool, "size") or not hasattr(parts.pool, "multiprocess"):
            raise PoolctlError("a plugin provides the pool: change pool.size in the topology, and reload")
        pool: Any = parts.pool
        chosen = replace(parts.combination, size=size)
        parts = replace(parts, workers=size, most=size, pool=replace(pool, size=size), combination=chosen)
        return ServerConfiguration(parts, self.host, self.moves, self.reviewer, self, self.size, self.page)

    def reopened(self) -> ServerConfiguration:
        listen = self.parts.topology.listen
        kept = OpenSockets(
            [
                OpenSocket.of(address, group, grouped=self._grouped)
                for address, group in zip(listen, self.groups, strict=True)
                if address.scheme == "fd"
            ],
            self.passed,
        )
        ports = {
            number: int(own_end(group[0])[1])
            for number, (address, group) in enumerate(zip(listen, self.groups, strict=True))
            if not address.fixed
        }
        return ServerConfiguration(
            self.parts, self.host, self.moves, self.reviewer, self, self.size, self.page, kept, ports
        )

    def change(self, made: Any) -> bytes:
        if self.page is not None:
            raise PoolctlError("in development a reload always loads the code anew")
        found = hot_change(self.parts, made[0])
        if found is None:
            raise PoolctlError("the current generation is not that of the file")
        return found.sent()

    def take(self, made: Any) -> None:
        parts, reviewer = made
        if self._grouped and parts.dispatch != self.parts.dispatch:
            assert isinstance(parts.dispatch, KernelDispatch)  # the rules allow no other kind
            for group in self.groups:
                attach(group[0], parts.dispatch.program(len(group)) or random_of(len(group)))
        self._serve(parts, reviewer)

    def discard(self, other: Configuration | None) -> None:
        theirs = other if isinstance(other, ServerConfiguration) else None
        shared = [sock for group in theirs.groups for sock in group] if theirs else []
        for sock in [sock for group in self.groups for sock in group if sock not in shared]:
            sock.close()
        if self.access is not None and (theirs is None or theirs.access is not self.access):
            self.access.close()


def import_event_loop_code(host: Host) -> None:
    """Import the modules that serve async apps in the mold: once for all workers, before an app can patch them, and
    before a change of user, after which they may not be readable."""
    import_module("poolctl.runtime.ownership.half_sync_half_reactive.async_executor")
    import_module("poolctl.runtime.serving_async.kinds")
    if host.identity:
        for package, module in (("h2", "http2_connection"), ("wsproto", "websocket_connection")):
            if find_spec(package) is not None:
                import_module(f"poolctl.runtime.serving_async.{module}")
