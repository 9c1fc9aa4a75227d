"""What this host does not provide, each with its location and a fix; and nothing is left behind."""

from __future__ import annotations

import datetime
import os
import select
import socket
import ssl
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import trustme
from harness.machine import PATIENCE, within
from harness.ports import quiet_port
from harness.server import wait_until

from poolctl.assembly.environment import findings
from poolctl.assembly.environment.app import TIMEOUT
from poolctl.assembly.judging.judge import judge
from poolctl.config.codes import CODES
from poolctl.config.diagnostic import Diagnostic
from poolctl.config.sources import Inputs
from poolctl.runtime.dispatch.cpu import Cpu
from poolctl.runtime.system.bpf import Instruction

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(autouse=True)
def _open_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """The interpreter of these tests may be installed under /root."""
    monkeypatch.setattr("poolctl.assembly.environment.interpreter.python_folders", list)


def found(text: str, *, app: bool = True) -> list[Diagnostic]:
    Path("shop.yaml").write_text(text)
    judgement = judge(Inputs("shop.yaml"))
    assert judgement.errors == []
    before = sorted(os.listdir())
    descriptors = os.listdir("/proc/self/fd")
    of_host = findings(judgement, app=app)
    assert sorted(os.listdir()) == before, "nothing is left behind"
    assert len(os.listdir("/proc/self/fd")) == len(descriptors)
    assert {each.code for each in of_host} <= set(CODES)
    return of_host


def one(text: str, *, app: bool = True) -> Diagnostic:
    (finding,) = found(text, app=app)
    return finding


def marked(finding: Diagnostic) -> str:
    """The text that the carets mark."""
    span = finding.place.span
    return finding.place.source.line(span.line)[span.column : span.end_column]


def test_nothing_is_wrong(folder: Path) -> None:
    assert found("app: demo\nlisten: [tcp://127.0.0.1:0, unix:///tmp/poolctl-not-there.sock]\n") == []


class TestAddress:
    def test_in_use_and_the_process_that_has_it(self, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            finding = one(f"app: demo\nlisten:\n  - tcp://127.0.0.1:0\n  - tcp://127.0.0.1:{port}\n")
        assert (finding.code, finding.severity) == ("PC401", "error")
        assert f"cannot listen on tcp://127.0.0.1:{port}: process {os.getpid()} (" in finding.message
        assert marked(finding) == f"tcp://127.0.0.1:{port}"
        assert "stop it" in finding.help

    @pytest.mark.parametrize("host", ["0.0.0.0", "[::1]", "[::]", "localhost"])
    def test_in_use_by_a_socket_of_all_interfaces(self, folder: Path, host: str) -> None:
        with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as other:
            finding = one(f"app: demo\nlisten: tcp://{host}:{other.getsockname()[1]}\n")
        assert f"process {os.getpid()} (" in finding.message

    def test_a_unix_socket_in_use(self, folder: Path) -> None:
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(folder / "s"))
            other.listen()
            finding = one(f"app: demo\nlisten: {{at: unix://{folder}/s}}\n")
        assert finding.code == "PC401"
        assert f"process {os.getpid()} (" in finding.message
        assert marked(finding) == f"unix://{folder}/s"

    def test_a_stale_socket_is_no_obstacle(self, folder: Path) -> None:
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(folder / "s"))
        assert found(f"app: demo\nlisten: unix://{folder}/s\n") == []

    def test_the_same_topology_is_already_running(self, folder: Path) -> None:
        code = (
            "import socket, sys; from setproctitle import setproctitle; setproctitle('poolctl: supervisor shop');"
            "s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True); sys.stdin.read()"
        )
        with subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1, text=True) as other:
            assert other.stdout is not None
            port = int(other.stdout.readline())
            finding = one(f"name: shop\napp: demo\nlisten: tcp://127.0.0.1:{port}\n")
            stranger = one(f"name: store\napp: demo\nlisten: tcp://127.0.0.1:{port}\n")
            other.communicate(timeout=PATIENCE)
        assert (finding.code, finding.severity) == ("PC401", "note")
        assert f"in use by shop, which is already running as process {other.pid}" in finding.message
        assert stranger.severity == "error"

    @pytest.mark.parametrize(
        ("address", "code", "says", "fix"),
        [
            ("tcp://no.such.host.invalid:80", "PC403", "cannot listen on tcp://no.such", "has no address on this host"),
            ("tcp://192.0.2.1:8000", "PC403", "Cannot assign", "use an address of this host"),
            ("unix:///none/shop.sock", "PC404", "there is no folder /none", "create the folder first"),
            ("unix:///dev/null", "PC404", "the path exists but is not a socket", "move it away"),
            ("{at: unix:///tmp/poolctl-x.sock, owner: nobody-at-all}", "PC420", "no user", "create it"),
            ("{at: unix:///tmp/poolctl-x.sock, group: nobody-at-all}", "PC420", "no group", "create it"),
        ],
    )
    def test_is_not_available(self, folder: Path, address: str, code: str, says: str, fix: str) -> None:
        finding = one(f"app: demo\nlisten: {address}\n")
        assert (finding.code, finding.severity) == (code, "error")
        assert says in finding.message
        assert fix in finding.help
        assert marked(finding) in address

    def test_a_socket_that_systemd_would_pass(self, folder: Path) -> None:
        """A note, because validation is not started by the service manager. `run` needs the socket."""
        finding = one("app: demo\nlisten: fd://777\n")
        assert (finding.code, finding.severity) == ("PC405", "note")
        assert "Bad file descriptor" in finding.message
        words = [sys.executable, "-m", "poolctl", "run", "-", "--listen", "fd://777"]
        ran = subprocess.run(words, input="app: demo\n", capture_output=True, text=True, timeout=60, check=False)
        assert (ran.returncode, "error[PC405]" in ran.stderr) == (1, True), ran

    def test_an_invalid_host_name(self, folder: Path) -> None:
        finding = one(f"app: demo\nlisten: tcp://{'a' * 70}.example:80\n")
        assert (finding.code, marked(finding)) == ("PC403", f"tcp://{'a' * 70}.example:80")
        assert "check the name" in finding.help

    @pytest.mark.parametrize("other", ["localhost", "0.0.0.0", "[::]"])
    def test_a_port_of_another_address_in_the_file(self, folder: Path, other: str) -> None:
        port = quiet_port()
        finding = one(f"app: demo\nlisten: [tcp://127.0.0.1:{port}, 'tcp://{other}:{port}']\n")
        assert (finding.code, marked(finding)) == ("PC401", f"'tcp://{other}:{port}'")
        assert f"another address in this file already uses port {port}" in finding.message
        assert [each.text for each in finding.related] == [f"this is 127.0.0.1, port {port}"]  # type: ignore[union-attr]

    def test_the_same_port_of_two_addresses(self, folder: Path) -> None:
        port = quiet_port()
        assert (
            found(f"app: demo\nlisten: [tcp://127.0.0.1:{port}, tcp://127.0.0.2:{port}, 'tcp://[::1]:{port}']\n") == []
        )

    def test_the_oldest_of_several_holders(self, folder: Path) -> None:
        """The others inherited the socket from it."""
        with socket.create_server(("127.0.0.1", 0)) as other:
            code = "import sys; print(flush=True); sys.stdin.read()"
            with subprocess.Popen(
                [sys.executable, "-c", code], stdin=-1, stdout=-1, text=True, pass_fds=[other.fileno()]
            ) as child:
                assert child.stdout is not None
                child.stdout.readline()
                finding = one(f"app: demo\nlisten: tcp://127.0.0.1:{other.getsockname()[1]}\n")
                child.communicate(timeout=PATIENCE)
        assert f"process {os.getpid()} (" in finding.message

    @as_root
    def test_in_use_by_another_user(self, folder: Path) -> None:
        """Root sees its PID and user, others as much as the kernel's tables show."""
        code = (
            "import os, socket, sys; os.setuid(65534); s = socket.create_server(('127.0.0.1', 0));"
            "print(s.getsockname()[1], flush=True); sys.stdin.read()"
        )
        with subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1, text=True) as other:
            assert other.stdout is not None
            text = f"app: demo\nlisten: tcp://127.0.0.1:{int(other.stdout.readline())}\n"
            seen = one(text)
            judgement = judge(Inputs("shop.yaml"))
            os.seteuid(65533)
            try:
                (unseen,) = findings(judgement)
            finally:
                os.seteuid(0)
            other.communicate(timeout=PATIENCE)
        assert f"process {other.pid} (" in seen.message
        assert seen.message.endswith(") of user nobody listens there")
        assert unseen.message.endswith("a process of user nobody listens there; only root can see which")

    @as_root
    def test_a_socket_that_only_root_may_give_away(self, folder: Path) -> None:
        Path("shop.yaml").write_text("app: demo\nlisten: {at: unix:///tmp/poolctl-x.sock, owner: nobody}\n")
        judgement = judge(Inputs("shop.yaml"))
        os.seteuid(65533)
        try:
            (finding,) = findings(judgement)
        finally:
            os.seteuid(0)
        assert (finding.code, marked(finding)) == ("PC420", "nobody")
        assert "only root may give the socket to user nobody" in finding.message

    def test_a_descriptor_that_does_not_listen_stays_open(self, folder: Path) -> None:
        with socket.socket() as sock:
            finding = one(f"app: demo\nlisten: fd://{sock.fileno()}\n")
            assert "not a listening socket" in finding.message
            sock.getsockname()

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may have any port")
    def test_a_privileged_port(self, folder: Path) -> None:
        assert one("app: demo\nlisten: tcp://127.0.0.1:79\n").code == "PC402"


ZONE = "/usr/share/zoneinfo/Asia/Tokyo"
SHOP = "def application(environ, start_response): ...\nnumber = 3\n"


class TestApp:
    @pytest.mark.parametrize(
        ("target", "code", "says", "fix"),
        [
            ("shop:aplication", "PC410", "no attribute 'aplication'", "did you mean 'application'?"),
            ("shop:number", "PC410", "cannot be called: its type is int", "name the application itself"),
            ("shp:application", "PC410", "no module of that name in", "did you mean 'shop'?"),
            ("unlike.anything", "PC410", "no module of that name in", "check the name of the module"),
        ],
    )
    def test_is_missing(self, folder: Path, target: str, code: str, says: str, fix: str) -> None:
        (folder / "shop.py").write_text(SHOP)
        finding = one(f"app: {{wsgi: '{target}'}}\n")
        assert (finding.code, marked(finding)) == (code, f"'{target}'")
        assert says in finding.message
        assert fix in finding.help

    def test_raises_an_exception_without_a_repr(self, folder: Path) -> None:
        (folder / "shop.py").write_text(
            "class Odd(BaseException):\n    def __str__(self):\n        raise ValueError\nraise Odd\n"
        )
        finding = one("app: {wsgi: shop:application}\n")
        assert (finding.code, finding.help) == ("PC411", "fix it in the app's own code")
        assert "line 4, in <module>" in finding.detail

    @pytest.mark.parametrize(
        ("app", "fix"),
        [("static: ./public", "create it, or name another"), ("cgi: ./run.sh", "create it, or name another")],
    )
    def test_the_fix_suits_the_kind_of_app(self, folder: Path, app: str, fix: str) -> None:
        """A missing folder is not the name of an app to check."""
        assert one(f"app: {{{app}}}\n").help == fix

    def test_a_file_is_not_a_folder(self, folder: Path) -> None:
        (folder / "shop.py").touch()
        assert one("app: {static: shop.py}\n").help == "name the folder that contains it"
        assert one("app: {cgi: shop.py}\n").help == "chmod +x shop.py"

    def test_is_found_without_an_import_in_this_process(self, folder: Path) -> None:
        (folder / "shop.py").write_text(f"import os\nopen('pid', 'w').write(str(os.getpid()))\n{SHOP}")
        Path("pid").touch()
        assert found("app: {wsgi: shop:application}\n") == []
        assert int(Path("pid").read_text()) != os.getpid()
        assert "shop" not in sys.modules

    def test_is_not_imported_for_run(self, folder: Path) -> None:
        assert found("app: {wsgi: shop:application}\n", app=False) == []

    def test_raises(self, folder: Path) -> None:
        (folder / "shop.py").write_text("print('hello')\ndef connect():\n    raise OSError('no database')\nconnect()\n")
        finding = one("app: {use: wsgi, target: shop}\n")
        assert (finding.code, marked(finding)) == ("PC411", "shop")
        assert finding.message.endswith("cannot be imported: OSError: no database")
        lines = finding.detail.splitlines()
        assert lines[:2] == ["Traceback (most recent call last):", f'  File "{folder}/shop.py", line 4, in <module>']
        assert lines[-2:] == ["it printed:", "hello"]
        assert "poolctl/" not in finding.detail

    def test_raises_in_several_lines(self, folder: Path) -> None:
        (folder / "shop.py").write_text(
            "try:\n    1 / 0\nexcept ZeroDivisionError as error:\n"
            "    raise ValueError('two values\\nhelp: somewhere') from error\n"
        )
        finding = one("app: {wsgi: shop}\n")
        assert finding.message == "app: shop cannot be imported: ValueError: two values"
        assert finding.detail.count("Traceback (most recent call last):") == 2
        assert finding.detail.endswith("ValueError: two values\nhelp: somewhere")

    def test_raises_something_endless(self, folder: Path) -> None:
        (folder / "shop.py").write_text("print('y' * 10**6)\nraise ValueError('x' * 10**6)\n")
        finding = one("app: {wsgi: shop}\n")
        assert finding.code == "PC411"
        assert f'File "{folder}/shop.py", line 2' in finding.detail
        assert len(finding.detail) < 30_000

    def test_lacks_a_package(self, folder: Path) -> None:
        (folder / "shop.py").write_text("import not_there_at_all.part\n")
        finding = one("app: {wsgi: shop}\n")
        assert finding.code == "PC411"
        assert (
            finding.help
            == f'install the package that provides "not_there_at_all" for {sys.executable}, which runs poolctl'
        )

    def test_exits_with_a_message(self, folder: Path) -> None:
        (folder / "shop.py").write_text("import sys\nsys.exit('DATABASE_URL is not set')\n")
        finding = one("app: {wsgi: shop}\n")
        assert finding.code == "PC412"
        assert finding.message.endswith("exited with code 1: DATABASE_URL is not set")
        assert f'File "{folder}/shop.py", line 2, in <module>' in finding.detail

    def test_has_a_syntax_error(self, folder: Path) -> None:
        (folder / "shop.py").write_text("def application(:\n    pass\n")
        finding = one("app: {asgi: shop:application}\n")
        assert finding.code == "PC411"
        assert f'File "{folder}/shop.py", line 1' in finding.detail

    @pytest.mark.parametrize(
        ("code", "says"),
        [
            ("import sys; sys.exit(3)", "exited with code 3"),
            ("import os; os._exit(4)", "exited with code 4"),
            ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "was killed by signal 9"),
        ],
    )
    def test_ends_its_process(self, folder: Path, code: str, says: str) -> None:
        (folder / "shop.py").write_text(code)
        finding = one("app: {wsgi: shop}\n")
        assert finding.code == "PC412"
        assert says in finding.message

    def test_takes_too_long(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        assert TIMEOUT == 30
        monkeypatch.setattr("poolctl.assembly.environment.app.TIMEOUT", within(0.5))
        (folder / "shop.py").write_text(
            "import os, threading, time\nopen('pid', 'w').write(str(os.getpid()))\nprint('connecting')\n"
            "threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"
            "def connect():\n    time.sleep(60)\nconnect()\n"
        )
        Path("pid").touch()
        finding = one("app: {wsgi: shop}\n")
        assert (finding.code, finding.severity) == ("PC413", "warning")
        assert finding.detail.splitlines() == [
            "it is waiting here:",
            f'  File "{folder}/shop.py", line 7, in <module>',
            "    connect()",
            f'  File "{folder}/shop.py", line 6, in connect',
            "    time.sleep(60)",
            "",
            "it printed:",
            "connecting",
        ]
        with pytest.raises(ProcessLookupError):
            os.kill(int(Path("pid").read_text()), 0)

    def test_leaves_no_process_behind(self, folder: Path) -> None:
        (folder / "shop.py").write_text(
            "import subprocess\nchild = subprocess.Popen(['sleep', '60'])\nopen('pid', 'w').write(str(child.pid))\n"
            + SHOP
        )
        Path("pid").touch()
        assert found("app: {wsgi: shop}\n") == []
        status = Path(f"/proc/{Path('pid').read_text()}/status")
        wait_until(lambda: not status.exists() or "\nState:\tZ" in status.read_text(), "the end of the child")

    def test_leaves_no_daemon_behind(self, folder: Path) -> None:
        """A daemon has left the session and the group of the app's process."""
        (folder / "shop.py").write_text(
            "import os, time\nreader, writer = os.pipe()\n"
            "if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n"
            "        open('pid', 'w').write(str(os.getpid()))\n        os.write(writer, b'.')\n        time.sleep(60)\n"
            "    os._exit(0)\n"
            f"os.read(reader, 1)\nos.wait()\n{SHOP}"
        )
        Path("pid").touch()
        assert found("app: {wsgi: shop}\n") == []
        with pytest.raises(ProcessLookupError):
            os.kill(int(Path("pid").read_text()), 0)

    def test_is_killed_with_the_process_that_checks(self, folder: Path) -> None:
        (folder / "shop.py").write_text(
            "import os, time\nprint('', end='')\nos.write(os.open('begun', os.O_WRONLY), b'.')\ntime.sleep(60)\n"
        )
        os.mkfifo("begun")
        Path("shop.yaml").write_text("app: {wsgi: shop}\n")
        reader = os.open("begun", os.O_RDONLY | os.O_NONBLOCK)
        with subprocess.Popen([sys.executable, "-m", "poolctl", "validate", "shop.yaml"]) as looking:
            select.select([reader], [], [], 10)
            assert os.read(reader, 1) == b"."
            looking.kill()
        assert select.select([reader], [], [], 10)[0], "the app's process is there, and has the pipe open"
        assert os.read(reader, 1) == b""
        os.close(reader)

    def test_has_the_files_environment_and_directory(self, folder: Path) -> None:
        (folder / "src").mkdir()
        (folder / "src" / "shop.py").write_text(f"import os\nassert os.environ['MODE'] == 'test'\n{SHOP}")
        assert found("app: {wsgi: shop}\ndirectory: src\nenvironment: {MODE: test}\n") == []
        assert one("app: {wsgi: shop}\ndirectory: src\n").message.endswith("KeyError: 'MODE'")

    @pytest.mark.parametrize(
        ("app", "says"),
        [
            ("{static: ./public}", "there is no folder"),
            ("{cgi: ./run.sh}", "no program or folder"),
            ("{lines: 'shop:answer'}", "calls it without awaiting"),
            ("{wsgi: 'shop:answer'}", "an ASGI application, not WSGI"),
            ("{wsgi: 'shop:framework'}", "an ASGI application, not WSGI"),
            ("{asgi: 'shop:old'}", "a WSGI application, not ASGI"),
        ],
    )
    def test_other_kinds_of_apps(self, folder: Path, app: str, says: str) -> None:
        (folder / "shop.py").write_text(
            "async def answer(line): ...\n"
            "class Framework:\n    async def __call__(self, scope, receive, send): ...\nframework = Framework()\n"
            "def old(environ, start_response): ...\n"
        )
        finding = one(f"app: {app}\n")
        assert finding.code == "PC410"
        assert says in finding.message


class TestFiles:
    @pytest.mark.parametrize(
        ("text", "code", "says", "fix"),
        [
            ("user: nobody-at-all", "PC420", 'no user "nobody-at-all"', "create it"),
            ("group: nobody-at-all", "PC420", 'no group "nobody-at-all"', "create it"),
            ("directory: /none", "PC421", "there is no such folder", "create it"),
            ("pid_file: /none/shop.pid", "PC422", "there is no folder /none", "create the folder"),
            ("pid_file: other", "PC422", "other exists and is not a PID file", ""),
            ("access_log: {to: /none/access.log}", "PC423", "there is no folder /none", "create the folder"),
            ("access_log: {to: /tmp}", "PC423", "it is a folder", "name a file in it"),
        ],
    )
    def test_cannot_be_used(self, folder: Path, text: str, code: str, says: str, fix: str) -> None:
        Path("other").write_text("something else\n")
        finding = one(f"app: demo\n{text}\n")
        assert (finding.code, finding.severity) == (code, "error")
        assert says in finding.message
        assert finding.help.startswith(fix)
        assert marked(finding) in text

    def test_a_missing_log_is_not_created(self, folder: Path) -> None:
        assert found("app: demo\naccess_log: {to: access.log}\n") == []

    @as_root
    def test_with_the_rights_of_the_user(self, folder: Path) -> None:
        folder.chmod(0o700)
        closed = one(f"app: demo\nuser: nobody\ndirectory: {folder}\n")
        assert (closed.code, closed.help.partition(" and")[0]) == ("PC421", "let this user enter it")
        denied = one("app: demo\nuser: nobody\naccess_log: {to: access.log}\n")
        assert (denied.code, denied.help.partition(",")[0]) == ("PC423", "let this user write there")
        assert os.geteuid() == 0

    @as_root
    @pytest.mark.parametrize(
        ("mode", "code"), [(0o700, ["PC429"]), (0o711, []), (0o755, [])], ids=["closed", "passable", "open"]
    )
    def test_a_python_that_the_user_cannot_read(
        self, monkeypatch: pytest.MonkeyPatch, mode: int, code: list[str]
    ) -> None:
        """Even where the app imports what it needs only later; permission to pass through a folder is enough."""
        with tempfile.TemporaryDirectory(dir="/var/tmp") as home:
            os.chmod(home, 0o755)
            library = Path(home, "root", "python", "lib")
            library.mkdir(parents=True)
            (Path(home) / "root").chmod(mode)
            monkeypatch.chdir(home)
            monkeypatch.setattr(
                "poolctl.assembly.environment.interpreter.python_folders", lambda: ["/none", str(library)]
            )
            Path("shop.py").write_text(SHOP.replace("...", "import colorsys"))
            findings = found("app: {wsgi: shop:application}\nuser: nobody\n")
            assert [each.code for each in findings] == code
            for each in findings:
                assert (marked(each), each.severity) == ("nobody", "warning")
                assert f"nobody cannot enter {home}/root, so no module is found in {library}" in each.message
                assert "/usr/bin/python3 -m venv" in each.help
                assert "chmod" not in each.help
            assert found("app: {wsgi: shop:application}\nuser: root\n") == []

    @as_root
    def test_a_closed_python_is_reported_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """An app that fails because of it has it in its help."""
        with tempfile.TemporaryDirectory(dir="/var/tmp") as home:
            os.chmod(home, 0o755)
            Path(home, "root", "lib").mkdir(parents=True)
            Path(home, "root").chmod(0o700)
            monkeypatch.chdir(home)
            for user in ("assembly.environment.interpreter", "supervision.user_traceback"):
                monkeypatch.setattr(f"poolctl.{user}.python_folders", lambda: [f"{home}/root/lib"])
            Path("shop.py").write_text(f"import not_there_at_all\n{SHOP}")
            (finding,) = found("app: {wsgi: shop:application}\nuser: nobody\n")
            assert (finding.code, finding.severity) == ("PC411", "error")
            assert f"nobody cannot enter {home}/root" in finding.help


def pem(folder: Path, authority: trustme.CA, name: str, **more: object) -> None:
    made = authority.issue_cert(name, **more)  # type: ignore[arg-type]
    made.private_key_pem.write_to_path(str(folder / f"{name}.key"))
    made.cert_chain_pems[0].write_to_path(str(folder / f"{name}.pem"))


def listen(tls: str) -> str:
    return f"app: demo\nlisten: {{at: tcp://127.0.0.1:0, tls: {{{tls}}}}}\n"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    now = datetime.datetime.now(datetime.UTC)
    pem(folder, authority, "shop.example")
    pem(folder, authority, "other.example")
    pem(folder, authority, "old.example", not_after=now - datetime.timedelta(days=1))
    pem(folder, authority, "soon.example", not_after=now + datetime.timedelta(days=3, hours=1))
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    (folder / "text.pem").write_text("no certificate\n")
    (folder / "cipher.pem").write_text("no password\n")
    for kind, name in (("CERTIFICATE", "torn.pem"), ("PRIVATE KEY", "torn.key")):
        (folder / name).write_text(f"-----BEGIN {kind}-----\ntorn\n-----END {kind}-----\n")
    lock = ["openssl", "pkey", "-aes128", "-passout", "pass:open", "-in", "shop.example.key", "-out", "locked.key"]
    subprocess.run(lock, cwd=folder, check=True, capture_output=True, timeout=within(30))
    return folder


class TestCertificates:
    def test_a_pipe_is_not_opened(self, folder: Path) -> None:
        os.mkfifo("pipe")
        finding = one(listen("certificate: pipe"))
        assert (finding.code, marked(finding)) == ("PC424", "pipe")
        assert "it is not a regular file" in finding.message

    @pytest.mark.parametrize(
        ("tls", "code", "says", "at"),
        [
            ("certificate: none.pem", "PC424", "cannot read none.pem: No such file", "none.pem"),
            ("certificate: shop.example.pem, key: none.key", "PC424", "cannot read none.key", "none.key"),
            ("certificate: shop.example.pem, key: other.example.key", "PC425", "does not belong", "other.example.key"),
            ("certificate: text.pem", "PC425", "text.pem has no certificate", "text.pem"),
            ("certificate: shop.example.pem", "PC425", "has a certificate but no private key", "shop.example.pem"),
            ("certificate: shop.example.pem, key: text.pem", "PC425", "text.pem has no private key", "text.pem"),
            (
                "certificate: shop.example.key, key: shop.example.pem",
                "PC425",
                "shop.example.pem the certificate",
                "shop.example.key",
            ),
            ("certificate: torn.pem, key: shop.example.key", "PC425", "torn.pem is damaged", "torn.pem"),
            ("certificate: shop.example.pem, key: torn.key", "PC425", "torn.key is damaged", "torn.key"),
            ("certificate: shop.example.pem, key: locked.key", "PC425", "no password is given", "locked.key"),
            (
                "certificate: shop.example.pem, key: locked.key, password: '${NONE:-no}'",
                "PC425",
                "the password does not open the key in locked.key",
                "'${NONE:-no}'",
            ),
            (
                "certificate: shop.example.pem, key: locked.key, password_file: text.pem",
                "PC425",
                "the password does not open the key in locked.key",
                "text.pem",
            ),
            (
                "certificate: shop.example.pem, key: shop.example.key, names: {b.example: {certificate: torn.pem}}",
                "PC425",
                "torn.pem has a certificate but no private key",
                "torn.pem",
            ),
            ("certificate: cipher.pem, key: shop.example.key", "PC425", "cipher.pem has no certificate", "cipher.pem"),
            ("certificate: shop.example.pem, key: shop.example.key, ciphers: NONE-1", "PC425", "no cipher", "NONE-1"),
            (
                "certificate: shop.example.pem, key: shop.example.key, clients: {authority: text.pem}",
                "PC425",
                "no certificates of an authority",
                "text.pem",
            ),
            (
                "certificate: shop.example.pem, key: shop.example.key, names: {b.example: {certificate: none.pem}}",
                "PC424",
                "cannot read none.pem",
                "none.pem",
            ),
        ],
    )
    def test_cannot_be_used(
        self, files: Path, monkeypatch: pytest.MonkeyPatch, tls: str, code: str, says: str, at: str
    ) -> None:
        monkeypatch.chdir(files)
        finding = one(listen(tls))
        assert (finding.code, finding.severity, marked(finding)) == (code, "error", at)
        assert says in finding.message

    @pytest.mark.parametrize(("name", "says"), [("old", "has expired"), ("soon", "expires in 3 days")])
    @pytest.mark.parametrize("more", ["", ", minimum: '1.3'"])
    def test_expires(self, files: Path, monkeypatch: pytest.MonkeyPatch, name: str, says: str, more: str) -> None:
        monkeypatch.chdir(files)
        finding = one(listen(f"certificate: {name}.example.pem, key: {name}.example.key{more}"))
        assert (finding.code, finding.severity, marked(finding)) == ("PC426", "warning", f"{name}.example.pem")
        assert says in finding.message

    def test_can_be_used(self, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(files)
        assert found(listen("certificate: shop.example.pem, key: shop.example.key")) == []
        with_clients = "certificate: shop.example.pem, key: shop.example.key, clients: {authority: ca.pem}"
        assert found(listen(with_clients)) == []
        assert ssl.OPENSSL_VERSION


def with_descriptors(allowed: int, command: str) -> subprocess.CompletedProcess[str]:
    """A command on the file of the test, where a process may have so many descriptors."""
    line = f"ulimit -n {allowed}; exec {sys.executable} -m poolctl {command} shop.yaml"
    return subprocess.run(["sh", "-c", line], check=False, capture_output=True, text=True, timeout=PATIENCE)


class TestLimits:
    def test_descriptors(self, folder: Path) -> None:
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        connections = min(hard, 9_999_999)
        finding = one(f"app: demo\nlimits: {{connections: {connections}}}\n")
        assert (finding.code, finding.severity, marked(finding)) == ("PC430", "warning", str(connections))
        assert f"need {connections + 256} descriptors, but only {hard} are allowed" in finding.message

    @pytest.mark.parametrize(
        ("more", "needed"),
        [
            pytest.param("dispatch: least-loaded", 32 + 1 + 2 * 16 + 2 * 33, marks=pytest.mark.slow),
            pytest.param("ownership: reuse-port", 32 + 16 + 2 * 16, marks=pytest.mark.slow),
            ("dispatch: shared-queue", 32 + 1 + 2 * 16),
            ("pool: {kind: process, size: 16, threads: 2}", 32 + 1 + 2 * 16 + 3 * 33),
        ],
    )
    def test_too_few_descriptors_to_start(self, folder: Path, more: str, needed: int) -> None:
        """One less is an error, and with exactly as many the server starts."""
        pool = "" if more.startswith("pool") else "pool: {kind: process, size: 16}\n"
        Path("shop.yaml").write_text(f"app: demo\nlisten: tcp://127.0.0.1:0\n{pool}{more}\n")
        done = with_descriptors(needed - 1, "run")
        assert done.returncode == 1
        assert f"the server needs {needed} descriptors to start, but only {needed - 1} are allowed" in done.stderr
        command = f"ulimit -n {needed}; exec {sys.executable} -m poolctl run shop.yaml"
        with subprocess.Popen(["sh", "-c", command], stderr=-1, text=True) as server:
            assert server.stderr is not None
            said = next((line for line in server.stderr if " serves on " in line or "rror" in line), "")
            server.terminate()
            assert " serves on " in said
            assert server.wait(PATIENCE) == 0

    def test_validate_counts_descriptors_too(self, folder: Path) -> None:
        Path("shop.yaml").write_text("app: demo\nlisten: tcp://127.0.0.1:0\npool: {kind: process, size: 16}\n")
        done = with_descriptors(64, "validate")
        assert done.returncode == 1
        assert "error[PC430]: the server needs 65 descriptors to start, but only 64 are allowed" in done.stdout

    def test_the_backlog_of_the_kernel(self, folder: Path) -> None:
        allowed = int(Path("/proc/sys/net/core/somaxconn").read_text())
        if allowed >= 65535:
            pytest.skip("the kernel allows any backlog")
        finding = one(f"app: demo\nbacklog: {allowed + 1}\n")
        assert (finding.code, finding.severity, marked(finding)) == ("PC431", "warning", str(allowed + 1))

    @pytest.mark.parametrize("dispatch", ["kernel-hash", "random", "client", "cpu"])
    def test_this_kernel_accepts_the_programs(self, folder: Path, dispatch: str) -> None:
        text = "app: demo\npool: {kind: process, size: 2}\nownership: reuse-port\nlisten: tcp://127.0.0.1:0\n"
        assert found(f"{text}dispatch: {dispatch}\n") == []

    def test_a_program_that_the_kernel_rejects(self, folder: Path) -> None:
        Path("shop.yaml").write_text("app: demo\nownership: reuse-port\ndispatch: cpu\nlisten: tcp://127.0.0.1:0\n")
        judgement = judge(Inputs("shop.yaml"))

        class Unknown(Cpu):
            def program(self, sockets: int) -> list[Instruction]:
                return [(0xFFFF, 0, 0, 0)]  # no instruction

        judgement.made["dispatch"] = Unknown()
        (finding,) = findings(judgement)
        assert (finding.code, finding.severity, marked(finding)) == ("PC432", "error", "cpu")
        assert finding.message == (
            "dispatch cpu needs a kernel that lets a program choose a socket: [Errno 22] Invalid argument"
        )
        assert "leave dispatch out" in finding.help


class TestVariables:
    @pytest.mark.parametrize(
        ("variable", "says", "fix"),
        [
            ("TZ: Europe/Nowhere", "no time zone Europe/Nowhere, so times are in UTC", "such as Europe/Berlin"),
            ("TZ: europe/berlin", "no time zone europe/berlin", "did you mean Europe/Berlin?"),
            ("TZ: Europe/Berln", "no time zone Europe/Berln", "did you mean Europe/Berlin?"),
            ("TZ: /etc/passwd", "no time zone /etc/passwd", "such as Europe/Berlin"),
            (
                "PYTHONPATH: /nope",
                "/nope does not exist, so no modules are found there",
                "create it, or correct the path",
            ),
            ("PYTHONPATH: '/:lib::/nope'", "lib and /nope do not exist", "paths are relative to "),
            ("SSL_CERT_FILE: ca.pem", "ca.pem does not exist", "create it, or correct the path"),
        ],
    )
    def test_names_something_missing(self, folder: Path, variable: str, says: str, fix: str) -> None:
        finding = one(f"app: demo\nenvironment: {{{variable}}}\n")
        assert (finding.code, finding.severity) == ("PC433", "warning")
        assert finding.message.startswith(f"environment: {variable.partition(':')[0]}: ")
        assert says in finding.message
        assert fix in finding.help
        assert marked(finding) == variable.partition(": ")[2]

    @pytest.mark.parametrize(
        "zone",
        ["Asia/Kolkata", ":Europe/Berlin", "UTC", "CET-1CEST,M3.5.0,M10.5.0/3", "<+0530>-5:30", "EST5EDT", "", ZONE],
    )
    def test_a_time_zone(self, folder: Path, zone: str) -> None:
        """A name, a rule or a file (tzset(3)), and it takes effect."""
        assert found(f"app: demo\nenvironment: {{TZ: '{zone}'}}\n") == []

    def test_paths_are_relative_to_the_directory(self, folder: Path) -> None:
        Path("there", "lib").mkdir(parents=True)
        Path("there", "modules.zip").touch()
        text = "app: demo\ndirectory: there\nenvironment: {PYTHONPATH: 'lib:modules.zip'}\n"
        assert found(text) == []
        assert one(text.replace("directory: there\n", "")).code == "PC433"
