"""Errors about an app that cannot be imported."""

from __future__ import annotations

import os
import pwd
import sys
from pathlib import Path

import pytest

from poolctl.runtime.system.identity import Identity
from poolctl.supervision.reports import failure
from poolctl.supervision.user_traceback import suggested_fix

MISSING = ModuleNotFoundError("No module named 'socketserver_'", name="socketserver_")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")
def test_a_python_that_the_user_cannot_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For instance a standard library below /root; the fix is not to install a package."""
    (tmp_path / "root" / "lib").mkdir(parents=True)
    monkeypatch.setattr(sys, "path", ["/", str(tmp_path / "root" / "lib")])
    monkeypatch.setattr("poolctl.supervision.user_traceback.python_folders", list)  # this interpreter may be such a one
    assert suggested_fix(MISSING).startswith('install the package that provides "socketserver_"')
    for each in (tmp_path, *tmp_path.parents):
        each.chmod(0o755) if each.is_relative_to("/tmp/pytest-of-root") else None
    (tmp_path / "root").chmod(0o700)
    nobody = pwd.getpwnam("nobody")
    with Identity(nobody.pw_uid, nobody.pw_gid, "nobody", "/").acting():
        fix = suggested_fix(MISSING)
    assert fix.startswith(
        f"nobody cannot enter {tmp_path}/root and so cannot read the modules in {tmp_path}/root/lib: "
    )
    assert "/usr/bin/python3 -m venv" in fix


def test_an_error_of_poolctl_itself_keeps_its_whole_traceback() -> None:
    try:
        Identity.find("nobody-at-all", "").variables()  # type: ignore[union-attr]  # raises before
    except Exception as error:  # noqa: BLE001  # the error to describe
        told = failure(error)
    assert (told.plain, told.code) == (True, "")
    error = ValueError("of poolctl")
    assert (failure(error).code, failure(error).text) == ("", "ValueError: of poolctl")
