"""What init writes around the axes: the app, where it listens, who is believed, what is logged."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from poolctl.proposal.answers import FOLDERS, HTTP, TARGETED, Answers, Otherwise, Setting
from poolctl.proposal.designs import Design

# What every reader of YAML, 1.1 or 1.2, takes for that text without quotes, in a flow mapping too.
_PLAIN = re.compile(r"(\./|/)?[A-Za-z_][A-Za-z0-9_./-]*(:[A-Za-z_][A-Za-z0-9_.]*)?|(tcp|unix|fd)://[A-Za-z0-9_./:-]+")
_WORDS = ("true", "false", "null", "yes", "no", "on", "off", "y", "n")
_LOCAL = ("127.0.0.1", "::1")


def quoted(text: str) -> str:
    """A text as a YAML scalar."""
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS and not text.endswith(":"):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$")  # a dollar that names no variable
    return '"' + "".join(char if char.isprintable() else f"\\U{ord(char):08x}" for char in escaped) + '"'


def above(answers: Answers) -> list[Setting]:
    """The keys before the axes: what it is and where."""
    found = [Setting("name", quoted(answers.name), "In titles of processes and in log lines."), _app(answers)]
    if answers.directory:
        why = "The folder in which the app is looked for, from that of this file."
        found.append(Setting("directory", quoted(answers.directory), why))
    found.append(_listen(answers))
    if answers.proxied:
        found.append(_forwarded(answers))
    return found


def _app(answers: Answers) -> Setting:
    why = {
        "echo": "Sends back what it gets.",
        "demo": "The application that is built in; exchange it for your own, app: {wsgi: package.module:callable}.",
        "static": "A folder of files. Links that lead out of it and names that begin with a dot are not served.",
        "cgi": "Programs, run for each request; one that takes longer than 60 s is ended (timeout).",
    }
    value = answers.kind if answers.kind not in (*TARGETED, *FOLDERS) else f"{{{answers.kind}: {quoted(answers.app)}}}"
    said = f"{answers.where[:1].upper()}{answers.where[1:]}." if answers.where else why.get(answers.kind, _CALLED)
    return Setting("app", value, said)


_CALLED = "The module is imported by each worker, and looked up in the folder of this file first."


def _listen(answers: Answers) -> Setting:
    address = answers.address
    if answers.encrypted:
        return _tls(answers)
    if address.startswith("unix://"):
        return _unix(answers)
    everybody = "tcp://0.0.0.0:" in address or "tcp://[::]:" in address
    why = "An address of this machine, for whoever reaches it." if address.startswith("tcp://") else "What is given."
    if any(f"//{local}:" in address.replace("[", "").replace("]", "") for local in _LOCAL):
        why = "Reached from this machine alone" + (": by the proxy." if answers.proxied else ".")
    if everybody:
        why = "All addresses of this machine" + (
            ", so see to it that only the proxy reaches it." if answers.proxied else "."
        )
    otherwise = []
    if everybody and answers.proxied:
        otherwise.append(Otherwise("To listen on one network only, its address", (("listen", "tcp://10.0.0.5:8000"),)))
    return Setting("listen", quoted(address), why, otherwise=tuple(otherwise))


def _tls(answers: Answers) -> Setting:
    key = f", key: {quoted(answers.key)}" if answers.key else ""
    value = f"{{at: {_flow(answers.address)}, tls: {{certificate: {quoted(answers.certificate)}{key}}}}}"
    why = (
        "With TLS 1.2 and 1.3; a request costs some 13 microseconds more. The files are read at the start, so start "
        "again when there is a new certificate. Port 443 needs root: user: NAME then names the user that runs the app."
    )
    return Setting("listen", value, why, "TLS ends here, with your certificate")


def _unix(answers: Answers) -> Setting:
    value = f'{{at: {_flow(answers.address)}, mode: "0660"}}'
    folder = PurePosixPath(answers.address.removeprefix("unix://")).parent
    why = (
        f"A socket that only user and group of this server may use; the folder {folder} must exist "
        f"(RuntimeDirectory={folder.name} in a unit of systemd). The proxy has to be in that group."
    )
    other = f'{{at: {_flow(answers.address)}, mode: "0660", group: www-data}}'
    when = "To give it the group of the proxy, as root or as one of that group"
    short = "only the proxy reaches it" if answers.proxied else ""
    return Setting("listen", value, why, short, (Otherwise(when, (("listen", other),)),))


def _flow(address: str) -> str:
    return quoted(address)


def _forwarded(answers: Answers) -> Setting:
    trusted = "unix" if answers.address.startswith("unix://") else answers.trust
    who = "clients of the unix socket" if trusted == "unix" else trusted
    why = (
        f"The proxy ({who}) says who its clients are, in X-Forwarded-For, -Proto and -Host, and nobody else is "
        "believed. It has to set or empty all three itself, or clients could write them."
    )
    otherwise = Otherwise("If it writes Forwarded (RFC 7239)", (("forwarded", _trust(trusted, "forwarded")),))
    return Setting("forwarded", _trust(trusted), why, "the app sees the clients, not the proxy", (otherwise,))


def _trust(trusted: str, header: str = "") -> str:
    return f"{{trust: {quoted(trusted)}{', header: ' + header if header else ''}}}"


def below(answers: Answers, chosen: Design) -> list[Setting]:
    """The keys after the axes: memory, limits and the log."""
    found = []
    processes = any(each.key == "pool" and "kind: process" in each.value for each in chosen.settings)
    if answers.preload and answers.production and answers.kind in TARGETED and processes and not answers.one_process:
        found.append(_PRELOAD)
    if answers.kind == "stream":
        found.append(_THREADS)
    found += _timeouts(answers)
    if answers.kind in HTTP and not answers.proxied:
        found.append(_COMBINED if answers.production else _SHORT)
    return found


_PRELOAD = Setting(
    "preload",
    "true",
    "Imported once and then forked, so that the processes share its memory: eight of an app with 100 MB take 129 MB in "
    "place of 900. The import must start no threads and leave no connections open, for a fork copies neither.",
    "the processes share the memory of the app",
    (Otherwise("If it does", (("preload", "false"),)),),
)
_THREADS = Setting(
    "limits",
    "{connections: 1000}",
    "Each connection takes a thread from its first bytes on: this bounds them.",
    "each connection takes a thread",
)
_COMBINED = Setting(
    "access_log",
    "combined",
    "A line for each request on stdout, as nginx and Apache write it: 2.4 microseconds each.",
    "nobody else writes a line for each request",
    (Otherwise("As objects, or not at all", (("access_log", "json"),)),),
)
_SHORT = Setting(
    "access_log",
    "'%m %U%q %s %{ms}T ms'",
    "A short line for each request on stdout.",
    "to see each request while developing",
)


def _timeouts(answers: Answers) -> list[Setting]:
    if answers.proxied:
        why = (
            "The proxy should be the one who ends a connection that idles, or its next request meets a closed one: "
            "longer than the 60 s after which nginx does (keepalive_timeout of its upstream)."
        )
        return [Setting("timeouts", "{idle: 75s}", why, "longer than nginx keeps an idle connection")]
    if not answers.production:
        return [Setting("timeouts", "{drain: 1s}", "Ctrl-C waits this long for requests in flight, instead of 30 s.")]
    return []


def notes(answers: Answers) -> tuple[str, ...]:
    """What is needed besides the file, for the terminal."""
    found = []
    if answers.address.startswith("unix://"):
        folder = PurePosixPath(answers.address.removeprefix("unix://")).parent
        found.append(f"create the folder {folder}, in which this server makes its socket")
    if answers.keeps == "client" and not answers.direct:
        found.append("behind a proxy all clients have one address, so one process has what the app keeps for them")
    return tuple(found)
