"""The identity of a process: accounts of the system, and the irreversible change to one of them."""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from poolctl.errors import PoolctlError


def user_number(name: str, key: str) -> int:
    """The uid of a user, given by name or number. Raises PoolctlError that begins with ``key``, its key in the file."""
    if name.isdecimal():
        return int(name)
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        raise PoolctlError(f'{key}: this machine has no user "{name}": create it, or name another') from None


def group_number(name: str, key: str) -> int:
    """The gid of a group, given by name or number. Raises PoolctlError that begins with ``key``, its key in the
    file."""
    if name.isdecimal():
        return int(name)
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise PoolctlError(f'{key}: this machine has no group "{name}": create it, or name another') from None


@dataclass(frozen=True)
class Identity:
    """The user and group that a process changes to. ``name`` and ``home`` are empty for a user without an account."""

    uid: int
    gid: int
    name: str
    home: str

    @classmethod
    def find(cls, user: str, group: str) -> Identity | None:
        """The identity that the keys ``user`` and ``group`` name; None if the process has it already.

        Raises PoolctlError if there is no such account, or the process may not change to it.
        """
        if not user and not group:
            return None
        uid = user_number(user, "user") if user else os.geteuid()
        account = _account(uid)
        if group:
            gid = group_number(group, "group")
        elif account is not None:
            gid = account.pw_gid
        else:
            raise PoolctlError(f"user: uid {uid} has no account to take the group from: set group")
        if os.geteuid() != 0:
            if (uid, gid) == (os.geteuid(), os.getegid()):
                return None
            key = "user" if user else "group"
            who = f"user {user or uid}, group {group or gid}"
            raise PoolctlError(f"{key}: only root can change to {who}: start poolctl as root, or remove the key")
        if user and account is not None:
            return cls(uid, gid, account.pw_name, account.pw_dir)
        return cls(uid, gid, "", "")

    def assume(self) -> None:
        """Change to this identity for good: groups first, because setgroups(2) needs the privileges that go. A process
        that has it already may lack these privileges, as root does in a unit without capabilities.

        Raises OSError if the system refuses.
        """
        if self._held:
            return
        self._join()
        os.setgid(self.gid)  # as root this sets the saved ids too, so there is no way back
        os.setuid(self.uid)

    @contextmanager
    def acting(self) -> Iterator[None]:
        """While the context lasts, the process has the privileges of this user and not root's; for processes with one
        thread. A path that the user could redirect with a link is then opened with the user's privileges only. Does
        nothing if the process is not root, or this user is."""
        if os.geteuid() != 0 or self.uid == 0:
            yield
            return
        gid, groups = os.getegid(), os.getgroups()
        self._join()
        os.setegid(self.gid)
        os.seteuid(self.uid)
        try:
            yield
        finally:
            os.seteuid(0)
            os.setegid(gid)
            os.setgroups(groups)

    @property
    def _held(self) -> bool:
        """Whether the process has exactly this identity, and no way back to another one."""
        groups = {self.gid, *(os.getgrouplist(self.name, self.gid) if self.name else ())}
        ids = os.getresuid() == (self.uid,) * 3 and os.getresgid() == (self.gid,) * 3
        return ids and {self.gid, *os.getgroups()} == groups

    def _join(self) -> None:
        if self.name:
            os.initgroups(self.name, self.gid)
        else:
            os.setgroups([self.gid])

    def variables(self) -> dict[str, str]:
        """The environment variables that login(1) would set."""
        if not self.name:
            return {}
        return {"HOME": self.home, "USER": self.name, "LOGNAME": self.name}


def _account(uid: int) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwuid(uid)
    except KeyError:
        return None
