"""Applies the keys about the host: umask, working directory, PID file, user and environment."""

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
def host_settings(topology: Topology, module_folder: str = "", replaced: int = 0) -> Iterator[Host]:
    """Apply the supervisor's umask, working directory and PID file, which the other processes inherit, for a run.

    Yields the Host with the rest for the mold. ``module_folder`` is searched first for the app's modules. ``replaced``:
    the process that this one is to replace in an upgrade, which has the PID file until ``Host.take_over``. Raises
    PoolctlError that names the key which cannot be applied.
    """
    identity = Identity.find(topology.user, topology.group)
    if topology.umask is not None:
        os.umask(topology.umask)
    if topology.directory:
        enter(topology.directory)
    pid_file = PidFile(topology.pid_file) if topology.pid_file else None
    if pid_file:
        pid_file.write(replaced)
    try:
        yield Host(topology, identity, pid_file, module_folder)
    finally:
        if pid_file:
            pid_file.remove()


def enter(directory: str) -> None:
    """Make a directory the working directory. Raises PoolctlError."""
    try:
        os.chdir(directory)
    except OSError as error:
        raise PoolctlError(f"directory: {directory} cannot be entered: {error.strerror}") from error


class Host:
    """The host settings that the mold applies, after those of the supervisor."""

    def __init__(
        self, topology: Topology, identity: Identity | None, pid_file: PidFile | None, module_folder: str = ""
    ) -> None:
        try:
            self._here = os.getcwd()
        except FileNotFoundError:
            raise PoolctlError(
                "the working directory has been removed: start poolctl in another one, or set the key directory"
            ) from None
        self._module_folder = module_folder
        self._directory = topology.directory
        self._environment = topology.environment
        self.identity = identity
        self._pid_file = pid_file

    def successor(self, topology: Topology, module_folder: str) -> Host:
        """Return the settings of a topology that replaces this one. Raises PoolctlError."""
        return Host(topology, Identity.find(topology.user, topology.group), self._pid_file, module_folder)

    def take_over(self) -> None:
        """In the supervisor of an upgrade: the PID file is this process's from now on. Raises OSError."""
        if self._pid_file:
            self._pid_file.place()

    def release(self) -> None:
        """In a supervisor that an upgrade has replaced: remove the PID file, unless it is the other one's now."""
        if self._pid_file:
            self._pid_file.remove()

    def resume(self, failed: int) -> None:
        """After an upgrade that has failed: the PID file is this process's, not that of the failed one, which is gone.
        Raises PoolctlError and OSError."""
        if self._pid_file:
            self._pid_file.restore(failed)

    def apply(self) -> None:
        """In a new mold, before any code of the app runs: switch to the file's user, and set environment and module
        path. Raises PoolctlError."""
        if self._pid_file:
            self._pid_file.close()
        if self.identity:
            try:
                self.identity.assume()
            except OSError as error:
                raise PoolctlError(f"user: the system refuses to switch the user: {error.strerror}") from error
            os.environ.update(self.identity.variables())
            if self._directory:
                enter(self._here)  # again, as this user, which may lack the permission
        set_variables(self._environment)
        set_module_path(self._module_folder)
