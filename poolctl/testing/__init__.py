"""For the authors of strategies: what every one of them has to keep, as checks that need no server, and one that has
one.

    from poolctl.testing import DispatchContract
    from my_dispatch import Mine


    class TestMine(DispatchContract):
        strategy = Mine

A plugin of another axis is tested in a server: ``with running(topology) as server``.

Needs the packages of the extra poolctl[testing].
"""

from __future__ import annotations

from poolctl.testing.contract import DispatchContract
from poolctl.testing.running import Server, running
from poolctl.testing.violation import Violation

__all__ = ["DispatchContract", "Server", "Violation", "running"]
