"""What the file says of the host, applied: umask, working directory, PID file, user and environment."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from poolctl.assembly.variables import set_module_path, set_variables
from poolctl.config.model import Topology
from poolctl.errors import PoolctlError
from poolctl.runtime.system.identity import Identity
from poolctl.runtime.system.pid_file import PidFile


@contextmanager
def applied(topology: Topology, home: str = "") -> Iterator[Host]:
    """For the time of a run: umask, working directory and PID file of the supervisor, which the others inherit.
    ``home``: where the app's modules are looked for first.

    Raises PoolctlError that names the key which cannot be applied.
    """
    identity = Identity.find(topology.user, topology.group)
    if topology.umask is not None:
        os.umask(topology.umask)
    if topology.directory:
        enter(topology.directory)
    pid_file = PidFile(topology.pid_file) if topology.pid_file else None
    if pid_file:
        pid_file.write()
    try:
        yield Host(topology, identity, pid_file, home)
    finally:
        if pid_file:
            pid_file.remove()


def enter(directory: str) -> None:
    """Make it the working directory. Raises PoolctlError."""
    try:
        os.chdir(directory)
    except OSError as error:
        raise PoolctlError(f"directory: {directory} cannot be entered: {error.strerror}") from error


class Host:
    """The supervisor's part is done; this is the mold's."""

    def __init__(self, topology: Topology, identity: Identity | None, pid_file: PidFile | None, home: str = "") -> None:
        try:
            self._here = os.getcwd()
        except FileNotFoundError:
            raise PoolctlError(
                "the working directory has been removed: start poolctl in another one, or name one with directory"
            ) from None
        self._home = home
        self._named = topology.directory
        self._environment = topology.environment
        self.identity = identity
        self._pid_file = pid_file

    def move_in(self) -> None:
        """In a new mold, before anything of the app: become who the file says. Raises PoolctlError."""
        if self._pid_file:
            self._pid_file.close()
        if self.identity:
            try:
                self.identity.assume()
            except OSError as error:
                raise PoolctlError(f"user: the system refuses the change: {error.strerror}") from error
            os.environ.update(self.identity.variables())
            if self._named:
                enter(self._here)  # again: may this user?
        set_variables(self._environment)
        set_module_path(self._home)
