"""Who a process is: the accounts of the system, and the change to one of them that cannot be undone."""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from poolctl.errors import PoolctlError


def user_number(name: str, key: str) -> int:
    """The number of a user, named or numbered. Raises PoolctlError with the key of the file that names it."""
    if name.isdecimal():
        return int(name)
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        raise PoolctlError(f'{key}: this machine has no user "{name}": create it, or name another') from None


def group_number(name: str, key: str) -> int:
    """The number of a group, named or numbered. Raises PoolctlError with the key of the file that names it."""
    if name.isdecimal():
        return int(name)
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise PoolctlError(f'{key}: this machine has no group "{name}": create it, or name another') from None


@dataclass(frozen=True)
class Identity:
    """Who a process becomes. ``name`` and ``home`` are empty for a user without an account."""

    uid: int
    gid: int
    name: str
    home: str

    @classmethod
    def find(cls, user: str, group: str) -> Identity | None:
        """The identity that the keys ``user`` and ``group`` mean; None when that is what this process is already.

        Raises PoolctlError when there is no such account, or this process may not become it.
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
            raise PoolctlError(f"user: the number {uid} has no account that says its group: name one with group")
        if os.geteuid() != 0:
            if (uid, gid) == (os.geteuid(), os.getegid()):
                return None
            key = "user" if user else "group"
            who = f"user {user or uid}, group {group or gid}"
            raise PoolctlError(f"{key}: only root may become {who}: start poolctl as root, or leave the key out")
        if user and account is not None:
            return cls(uid, gid, account.pw_name, account.pw_dir)
        return cls(uid, gid, "", "")

    def assume(self) -> None:
        """Become it, for good: groups first, for afterwards there is no right to change them (setgroups(2)).

        Raises OSError when the system refuses.
        """
        self._join()
        os.setgid(self.gid)  # as root these set the saved ones too, so there is no way back
        os.setuid(self.uid)

    @contextmanager
    def acting(self) -> Iterator[None]:
        """For as long as this lasts the process has its rights, and not root's own; for one thread only. What is opened
        by a path that this user could bend with a link is opened with no more rights than the user has. Where it is
        this process already nothing changes."""
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

    def _join(self) -> None:
        if self.name:
            os.initgroups(self.name, self.gid)
        else:
            os.setgroups([self.gid])

    def variables(self) -> dict[str, str]:
        """What login(1) would set of the environment."""
        if not self.name:
            return {}
        return {"HOME": self.home, "USER": self.name, "LOGNAME": self.name}


def _account(uid: int) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwuid(uid)
    except KeyError:
        return None
