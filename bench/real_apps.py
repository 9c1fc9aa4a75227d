"""What real clients notice of changes under real applications: Django and FastAPI, under each ownership.

    python -m bench.real_apps --python VENV/bin/python     whose environment has poolctl, django and fastapi

While hey (kept and short connections), wrk, h2load, curl and a page in headless Chromium with six connections ask for 9
seconds, the server is reloaded five times, recycled, and scaled to 6 and to 2 workers. A response of another status
than 200 has failed, and so has a connection that broke.
"""

# ruff: noqa: T201  # this program prints a table on stdout

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.process import HOST, free_port, running

OWNERSHIPS = ("half-sync/half-reactive", "half-sync/half-async", "leader/followers", "reuse-port")
APPS = {"Django": "{wsgi: shop_django:application}", "FastAPI": "{asgi: shop_fastapi:app}"}
FOLDER = Path(__file__).parent / "apps"
TOOLS = ("hey", "wrk", "h2load", "curl", "chromium")
SECONDS = 9
CHROMIUM = [
    "chromium",
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
]
CHANGES = [["reload"]] * 5 + [["recycle"], ["scale", "6"], ["scale", "2"]]


def clients(url: str, profile: str) -> dict[str, list[str]]:
    """Return the command of each client."""
    seconds = str(SECONDS)
    loop = (
        f"end=$(($(date +%s) + {SECONDS})); while [ $(date +%s) -lt $end ]; do"
        f" curl -s -o /dev/null -w '%{{http_code}} ' {url}/x; done"
    )
    return {
        "hey": ["hey", "-z", f"{seconds}s", "-c", "4", "-q", "25", f"{url}/x"],
        "hey, short": ["hey", "-z", f"{seconds}s", "-c", "2", "-q", "15", "-disable-keepalive", f"{url}/x"],
        "wrk": ["wrk", "-t1", "-c2", f"-d{seconds}s", f"{url}/x"],
        "h2load": ["h2load", "--h1", "-c", "4", "--rps=20", "-D", seconds, f"{url}/x"],
        "curl": ["sh", "-c", loop],
        "Chromium": [*CHROMIUM, f"--user-data-dir={profile}", f"{url}/page"],
    }


def outcome(client: str, said: str) -> tuple[int, int]:
    """Return (answered, failed) of what a client has printed; of Chromium, of the access log."""

    def numbers(pattern: str) -> list[int]:
        return [int(each) for each in re.findall(pattern, said)]

    if client.startswith("hey"):
        return sum(numbers(r"\[200\]\s+(\d+)")), sum(numbers(r"\[(?!200)\d+\]\s+(\d+)"))
    if client == "wrk":
        failed = numbers(r"Non-2xx or 3xx responses: (\d+)") + numbers(r"(?:connect|read|write|timeout) (\d+)")
        return sum(numbers(r"(\d+) requests in")), sum(failed)
    if client == "h2load":
        return sum(numbers(r"(\d+) succeeded")), sum(numbers(r"(\d+) (?:failed|errored|timeout)"))
    if client == "curl":
        return said.split().count("200"), len(said.split()) - said.split().count("200")
    found = re.search(r"result-ok=(\d+)-bad=(\d+)", said)
    return (int(found[1]), int(found[2])) if found else (0, 1)


def measure(python: str, app: str, ownership: str, show: Callable[[str], None]) -> int:
    """Put one server under load and change it. Returns how many requests have failed."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        log, file = Path(folder) / "access.log", Path(folder) / "real.yaml"
        file.write_text(
            f"name: real-{port}\nlisten: tcp://{HOST}:{port}\napp: {APPS[app]}\nownership: {ownership}\n"
            f"pool: {{size: 3}}\naccess_log: {{format: common, to: {log}}}\ndirectory: {FOLDER}\n"
        )
        with running([python, "-m", "poolctl", "run", str(file)], port):
            started = {
                name: subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
                for name, command in clients(f"http://{HOST}:{port}", f"{folder}/chromium").items()
            }
            time.sleep(1)
            for command, *more in CHANGES:
                subprocess.run(
                    [python, "-m", "poolctl", command, f"real-{port}", *more], check=True, capture_output=True
                )
                time.sleep(0.5)
            said = {name: client.communicate()[0] for name, client in started.items() if name != "Chromium"}
            time.sleep(4)  # the page has begun last
            started["Chromium"].terminate()
            started["Chromium"].wait()
        results = {name: outcome(name, said.get(name) or log.read_text()) for name in started}
    answered, failed = (sum(each) for each in zip(*results.values(), strict=True))
    wrong = ", ".join(f"{name} {each[1]}" for name, each in results.items() if each[1])
    show(f"{app:8} {ownership:24} {answered:9} {failed:7} {wrong}")
    return failed


def main() -> int:
    """Measure everything. Returns the exit status: 1 if a request has failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=sys.executable)
    python = str(Path(parser.parse_args().python).absolute())
    if missing := [tool for tool in TOOLS if shutil.which(tool) is None]:
        print(f"not installed: {', '.join(missing)}", file=sys.stderr)
        return 2
    print(f"{'app':8} {'ownership':24} {'answered':>9} {'failed':>7}")
    failed = [measure(python, app, ownership, print) for app in APPS for ownership in OWNERSHIPS]
    return int(any(failed))


if __name__ == "__main__":
    sys.exit(main())
