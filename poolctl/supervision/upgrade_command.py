"""The command `upgrade`, of a client or of a SIGUSR2."""

from __future__ import annotations

from typing import Any, Protocol

from poolctl.supervision.configuration import ExitCode
from poolctl.supervision.reload import Caller
from poolctl.supervision.transaction import Transaction, seconds_to_wait


class UpgradingServer(Protocol):
    """What the command needs of the supervisor."""

    def start_upgrade(self, caller: Caller, wait: float | None) -> None:
        """Begin to replace this supervisor by one of the installed version. ``wait``: None: as the topology says."""

    def reloaded(self, code: ExitCode, text: str, change: str = "reload") -> None:
        """A change has ended."""


class UpgradeCommand:
    """One `upgrade`."""

    def __init__(self, supervisor: UpgradingServer, transaction: Transaction) -> None:
        self._supervisor, self._transaction = supervisor, transaction

    def begin(self, arguments: dict[str, Any]) -> None:
        """Begin the upgrade. ``wait``: seconds that the new supervisor and its workers have to become ready."""
        self._supervisor.start_upgrade(self, seconds_to_wait(arguments))

    def say(self, text: str) -> None:
        """Report progress."""
        self._transaction.say(text)

    def finish(self, code: ExitCode, text: str) -> None:
        """Report the end, to whoever asked and to the supervisor."""
        if code:
            self._transaction.fail(text, "", int(code))
        else:
            self._transaction.finish(0, text, seconds=round(self._transaction.seconds, 3))
        self._supervisor.reloaded(code, text, "upgrade")
