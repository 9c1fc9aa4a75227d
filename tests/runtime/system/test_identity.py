"""Accounts of the system, by name and by number."""

from __future__ import annotations

import grp
import os
import pwd

import pytest

from poolctl.errors import PoolctlError
from poolctl.runtime.system.identity import Identity, group_number, user_number

NOBODY = "no-such-account"


def test_an_account_has_a_name_or_a_number() -> None:
    user, group = pwd.getpwall()[-1], grp.getgrall()[-1]
    assert user_number(user.pw_name, "user") == user.pw_uid
    assert group_number(group.gr_name, "group") == group.gr_gid
    assert user_number("54321", "user") == group_number("54321", "group") == 54321


def test_an_account_that_does_not_exist_is_named_with_its_key() -> None:
    with pytest.raises(PoolctlError, match=f'^listen.user: .*"{NOBODY}"'):
        user_number(NOBODY, "listen.user")
    with pytest.raises(PoolctlError, match=f'^group: .*"{NOBODY}"'):
        group_number(NOBODY, "group")


def test_a_process_without_a_wish_keeps_its_identity() -> None:
    assert Identity.find("", "") is None


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_the_identity_of_an_account() -> None:
    account = next(each for each in pwd.getpwall() if each.pw_uid)
    found = Identity.find(account.pw_name, "")
    assert found == Identity(account.pw_uid, account.pw_gid, account.pw_name, account.pw_dir)
    assert found.variables() == {"HOME": account.pw_dir, "USER": account.pw_name, "LOGNAME": account.pw_name}
    assert Identity.find(account.pw_name, "54321") == Identity(account.pw_uid, 54321, account.pw_name, account.pw_dir)


def test_an_identity_without_an_account_has_no_home() -> None:
    assert Identity(54321, 54321, "", "").variables() == {}


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_user_without_an_account_needs_a_group() -> None:
    taken = {each.pw_uid for each in pwd.getpwall()}
    number = next(each for each in range(54321, 60000) if each not in taken)
    with pytest.raises(PoolctlError, match="set group"):
        Identity.find(str(number), "")
    assert Identity.find(str(number), "0") == Identity(number, 0, "", "")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may become anybody")
def test_only_root_becomes_another() -> None:
    with pytest.raises(PoolctlError, match="only root"):
        Identity.find("0", "")
