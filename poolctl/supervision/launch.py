"""How this process was started, so that an upgrade can start its successor in the same way."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

# Variables with the pid of the process that they are for.
OF_ONE_PROCESS = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID", "WATCHDOG_PID")


@dataclass(frozen=True)
class Launch:
    """The command line, environment, working directory and umask of a start. ``refusal``: why it cannot be repeated,
    and what to do instead; empty: it can."""

    command: tuple[str, ...]
    environment: Mapping[str, str]
    folder: str
    umask: int
    refusal: str = ""

    @classmethod
    def of_this_process(cls, refusal: str = "") -> Launch:
        """Return how this process was started; called before it changes anything of that."""
        mask = os.umask(0o077)
        os.umask(mask)
        environment = {name: value for name, value in os.environ.items() if name not in OF_ONE_PROCESS}
        if not sys.executable:
            refusal = refusal or "this process does not know its Python interpreter; restart the server"
        # sys.executable, because the first word of the command line may be a name that PATH found
        return cls((sys.executable, *sys.orig_argv[1:]), environment, _folder(), mask, refusal)

    def execute(self, kept: Iterable[int], variables: Mapping[str, str]) -> None:
        """Become the program that was started, with these descriptors and variables beyond its own. Called in a forked
        process. Raises OSError."""
        os.chdir(self.folder)
        os.umask(self.umask)
        for fd in kept:
            os.set_inheritable(fd, True)
        os.execve(self.command[0], self.command, {**self.environment, **variables})


def _folder() -> str:
    """Return the working directory, as the shell calls it: the target of a link such as /srv/current may be another one
    at the next start."""
    found, shown = os.getcwd(), os.environ.get("PWD", "")
    try:
        return shown if os.path.isabs(shown) and os.path.samefile(shown, found) else found
    except OSError:
        return found
