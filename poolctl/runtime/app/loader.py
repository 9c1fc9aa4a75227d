"""Importing the user's code once: in each worker, or with ``preload`` in the mold for all workers."""

from __future__ import annotations

from contextvars import Context, copy_context

from poolctl.runtime.app import App, Surroundings
from poolctl.runtime.system import threads


class Loader:
    """Provisions an app. ``context``: the context variables as the import of the app left them; None before."""

    def __init__(self, app: App, surroundings: Surroundings) -> None:
        self.app = app
        self._surroundings = surroundings
        self.context: Context | None = None

    def load(self) -> None:
        """Import the app, unless this process or the mold has already done so. Raises AppError, and whatever the
        user's code raises."""
        if self.context is None:
            self.app.load(self._surroundings)
            threads.settle()
            self.context = copy_context()

    def warm(self) -> None:
        """Have the app answer its warm requests, in a copy of the context as for any request. Raises as `load`."""
        assert self.context is not None  # it was loaded
        self.context.copy().run(self.app.warm)
