"""Tests for the authors of plugins: the contract of dispatch strategies, most of it checked without a server.

    from poolctl.testing import DispatchContract
    from my_dispatch import Mine


    class TestMine(DispatchContract):
        strategy = Mine

Plugins for other axes are tested in a server: ``with running(topology) as server``.

It needs the packages of the extra poolctl[testing].

Deferred imports: each check imports hypothesis, the server or the plugin loader when it runs, so that importing the
contract is cheap for the processes that it starts.
"""

from __future__ import annotations

from poolctl.testing.contract import DispatchContract
from poolctl.testing.running import Server, running
from poolctl.testing.violation import Violation

__all__ = ["DispatchContract", "Server", "Violation", "running"]
