"""The units follow the topology, and systemd itself accepts them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from poolctl.cli.export.quoting import command_line, quoted
from poolctl.cli.export.systemd import NOTIFY_RELOAD, program
from poolctl.cli.main import cli

GOLDEN = Path(__file__).parent / "units"
ANALYZE = shutil.which("systemd-analyze")
EXPOSURE = 3.0  # of 10, by systemd-analyze security; a unit without hardening has 9.6
SHOP = """
name: shop
app: {wsgi: shop:application}
listen: [tcp://0.0.0.0:80, {at: unix:///run/web/shop.sock, mode: "0660"}]
user: www-data
access_log: {to: /var/log/shop/access.log}
pid_file: pid/shop.pid
limits: {connections: 5000}
timeouts: {drain: 45s}
"""
ROOT = """
name: root
app: {wsgi: shop:application}
listen: {at: unix:///run/shop.sock, group: www-data}
user: nobody
"""
STATIC = "name: static\napp: {static: .}\n"
PASSED = "name: passed\napp: demo\nlisten: [systemd, {at: systemd://admin, proxy_protocol: 127.0.0.1}]\n"
TOPOLOGIES = {"shop": SHOP, "root": ROOT, "static": STATIC, "passed": PASSED}


def exported(folder: Path, text: str, *words: str, version: int = NOTIFY_RELOAD) -> str:
    file = folder / "shop.yaml"
    file.write_text(text)
    done = CliRunner().invoke(cli, ["export", "systemd", str(file), "--for-systemd", str(version), *words])
    assert done.exit_code == 0, done.output
    return done.stdout


def settings(unit: str) -> dict[str, list[str]]:
    """The values of each setting, in the order of the unit."""
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r"^([A-Z]\w+)=(.*)$", unit, re.MULTILINE):
        found.setdefault(name, []).append(value)
    return found


def placed(unit: str, folder: Path) -> str:
    """A unit without the paths of this machine."""
    unit = unit.replace(command_line(program()), "/venv/bin/poolctl").replace(str(folder), "/srv/shop")
    return re.sub("ProtectHome=.*", "ProtectHome=yes", unit)


@pytest.mark.parametrize("name", TOPOLOGIES)
def test_units(name: str, tmp_path: Path) -> None:
    """UNITS_UPDATE=1 writes them again; read them then."""
    words = ["--socket"] if name in ("static", "passed") else []
    text = placed(exported(tmp_path, TOPOLOGIES[name], *words), tmp_path)
    golden = GOLDEN / f"{name}.txt"
    if os.environ.get("UNITS_UPDATE"):
        golden.write_text(text)
    assert text == golden.read_text()


@pytest.mark.parametrize(
    ("text", "name", "values"),
    [
        ("timeouts: {drain: 12.5s}", "TimeoutStopSec", ["22.5s"]),
        ("timeouts: {drain: 5m}", "TimeoutStopSec", ["310s"]),
        ("limits: {connections: 70000}", "LimitNOFILE", ["70256"]),
        ("", "DynamicUser", ["yes"]),
        ("user: www-data", "DynamicUser", []),
        ("user: www-data", "User", ["www-data"]),
        ("{user: www-data, group: nogroup}", "Group", ["nogroup"]),
        ("", "CapabilityBoundingSet", [""]),
        ("listen: tcp://0.0.0.0:443", "CapabilityBoundingSet", ["CAP_NET_BIND_SERVICE"]),
        ("listen: tcp://0.0.0.0:443", "AmbientCapabilities", ["CAP_NET_BIND_SERVICE"]),
        ("listen: tcp://0.0.0.0:443", "PrivateUsers", []),
        ("listen: tcp://0.0.0.0:1024", "PrivateUsers", ["yes"]),
        ("listen: tcp://192.0.2.7:8000", "After", ["network-online.target"]),
        ("listen: tcp://192.0.2.7:8000", "Wants", ["network-online.target"]),
        ("listen: tcp://127.0.0.1:8000", "Wants", []),
        ("listen: unix:///run/a/b/x.sock", "RuntimeDirectory", ["shop a/b"]),
        ("listen: unix:///var/run/a/x.sock", "RuntimeDirectory", ["shop a"]),
        ("listen: unix:///srv/x/a.sock", "ReadWritePaths", ["-/srv/x"]),
        ("access_log: {to: /var/log/a/b.log}", "LogsDirectory", ["a"]),
        ("access_log: {to: /data/b.log}", "ReadWritePaths", ["-/data"]),
        ("access_log: {to: stderr}", "ReadWritePaths", []),
        ("{user: www-data, pid_file: /run/x.pid}", "User", ["root"]),
        ("{user: www-data, listen: {at: unix:///run/a/x.sock, owner: root}}", "User", ["root"]),
        ("{app: {static: .}, listen: unix:///run/a/x.sock}", "RestrictAddressFamilies", ["AF_UNIX"]),
        ("app: {static: .}", "MemoryDenyWriteExecute", ["yes"]),
        ("", "MemoryDenyWriteExecute", []),
        ("timeouts: {drain: '${SHOP_DRAIN:-7s}'}", "EnvironmentFile", ["/etc/default/shop"]),
        ("timeouts: {drain: '${SHOP_DRAIN:-7s}'}", "TimeoutStopSec", ["17s"]),
    ],
)
def test_each_setting_follows_the_topology(text: str, name: str, values: list[str], tmp_path: Path) -> None:
    app = "" if "app:" in text else "app: {wsgi: shop:application}"
    body = ", ".join(part for part in ("name: shop", app, text[1:-1] if text[:1] == "{" else text) if part)
    assert settings(exported(tmp_path, f"{{{body}}}")).get(name, []) == values


def test_a_key_that_only_root_can_read_needs_a_start_as_root(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("makes a file of root's")
    key = tmp_path / "key.pem"
    key.write_text("")
    for mode, user in ((0o600, "root"), (0o644, "www-data")):
        key.chmod(mode)
        tls = f"{{certificate: {key}, key: {key}}}"
        unit = exported(tmp_path, f"app: demo\nuser: www-data\nlisten: {{at: tcp://0.0.0.0:8443, tls: {tls}}}\n")
        assert settings(unit)["User"] == [user]
        assert settings(unit)["LimitNOFILE"] == ["30256"]  # three descriptors for each connection


def test_the_command_line_is_that_of_the_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my apps").mkdir()
    (tmp_path / "my apps" / "prod.yaml").write_text("timeouts: {drain: 5s}\n")
    monkeypatch.chdir(tmp_path)
    words = ["-f", "my apps/prod.yaml", "--set", "environment.PRICE=5$ 100%", "--listen", "tcp://0.0.0.0:9000"]
    unit = settings(exported(tmp_path, STATIC, *words))
    assert unit["ExecStart"][0].removeprefix(f"{command_line(program())} ") == (
        f'run {tmp_path}/shop.yaml -f "{tmp_path}/my apps/prod.yaml" --set "environment.PRICE=5$$ 100%%" '
        "--listen tcp://0.0.0.0:9000"
    )
    assert (unit["WorkingDirectory"], unit["TimeoutStopSec"]) == ([str(tmp_path)], ["15s"])
    assert Path(program()[0]).is_file()
    assert program()[0].startswith(os.path.dirname(sys.executable))


def test_words_are_quoted_as_systemd_reads_them() -> None:
    assert [quoted(each) for each in ("a", "a b", 'a"b', "a\\b", "50%", "a'b", "")] == [
        "a", '"a b"', '"a\\"b"', "a\\\\b", "50%%", '"a\'b"', '""',
    ]  # fmt: skip


def test_a_name_of_a_file_adds_no_setting(tmp_path: Path) -> None:
    folder = tmp_path / "a\nUser=root"
    folder.mkdir()
    unit = exported(folder, STATIC)
    assert "User" not in settings(unit)


def test_before_notify_reload_there_is_an_exec_reload(tmp_path: Path) -> None:
    old, new = (settings(exported(tmp_path, STATIC, version=number)) for number in (252, 253))
    assert (old["Type"], old["ExecReload"]) == (["notify"], ["/bin/kill -HUP $MAINPID"])
    assert (new["Type"], new.get("ExecReload")) == (["notify-reload"], None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("app: demo\nlisten: tcp://127.0.0.1:0\n", "a socket unit cannot open"),
        ("app: demo\nlisten: tcp://shop.example:80\n", "takes an IP address"),
        ("app: demo\nlisten: {at: tcp://127.0.0.1:80, proxy_protocol: 127.0.0.1}\n", "has options"),
        ("app: demo\nownership: reuse-port\n", "reuse-port opens a socket for each worker"),
    ],
)
def test_sockets_that_systemd_cannot_open(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "shop.yaml"
    file.write_text(text)
    done = CliRunner().invoke(cli, ["export", "systemd", str(file), "--socket"])
    assert (done.exit_code, message in done.stderr) == (2, True), done.output


@pytest.mark.parametrize("words", [["-"], ["shop:application"], ["shop.py"]])
def test_only_a_file_can_be_exported(words: list[str]) -> None:
    for kind in ("systemd", "container"):
        done = CliRunner().invoke(cli, ["export", kind, *words])
        assert (done.exit_code, "is not a topology file" in done.stderr) == (2, True)


def test_files_are_overwritten_only_by_force(tmp_path: Path) -> None:
    units = tmp_path / "units"
    exported(tmp_path, STATIC, "--to", str(units), "--socket")
    assert sorted(path.name for path in units.iterdir()) == ["static.service", "static.socket"]
    (units / "static.socket").write_text("mine")
    done = CliRunner().invoke(cli, ["export", "systemd", str(tmp_path / "shop.yaml"), "--to", str(units)])
    assert (done.exit_code, "already exists; use --force" in done.stderr) == (2, True)
    exported(tmp_path, STATIC, "--to", str(units), "--socket", "--force")
    assert (units / "static.socket").read_text() != "mine"


@pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed")
@pytest.mark.parametrize("name", TOPOLOGIES)
def test_systemd_accepts_the_units(name: str, tmp_path: Path) -> None:
    assert ANALYZE is not None
    shown = subprocess.run([ANALYZE, "--version"], capture_output=True, text=True, check=True).stdout
    version = int(shown.split()[1])
    words = ["--socket"] if name in ("static", "passed") else []
    exported(tmp_path, TOPOLOGIES[name], *words, "--to", str(tmp_path / "units"), version=version)
    units = sorted(map(str, (tmp_path / "units").iterdir()))
    done = subprocess.run([ANALYZE, "verify", *units], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    service = next(unit for unit in units if unit.endswith(".service"))
    done = subprocess.run(
        [ANALYZE, "security", "--offline=true", "--no-pager", service], capture_output=True, text=True, check=True
    )
    found = re.search(r"exposure level for \S+: ([\d.]+)", done.stdout)
    assert found is not None
    assert float(found[1]) <= EXPOSURE, done.stdout
