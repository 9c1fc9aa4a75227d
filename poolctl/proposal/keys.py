"""The keys that init writes around the axes: the app, addresses, trusted proxies, limits and the access log."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from poolctl.proposal.answers import FOLDERS, HTTP, TARGETED, Alternative, Answers, KeyLine
from poolctl.proposal.designs import Design

# Texts that every YAML parser, of 1.1 or 1.2, reads unchanged without quotes, in flow mappings too.
_PLAIN = re.compile(r"(\./|/)?[A-Za-z_][A-Za-z0-9_./-]*(:[A-Za-z_][A-Za-z0-9_.]*)?|(tcp|unix|fd)://[A-Za-z0-9_./:-]+")
_WORDS = ("true", "false", "null", "yes", "no", "on", "off", "y", "n")
_LOCAL = ("127.0.0.1", "::1")


def yaml_scalar(text: str) -> str:
    """Return a text as a YAML scalar, quoted if necessary."""
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS and not text.endswith(":"):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$")  # a literal dollar, not a variable
    return '"' + "".join(char if char.isprintable() else f"\\U{ord(char):08x}" for char in escaped) + '"'


def keys_before_axes(answers: Answers) -> list[KeyLine]:
    """Return the keys before the axes: name, app, addresses and trusted proxies."""
    found = [
        KeyLine("name", yaml_scalar(answers.name), "Shown in process titles and log lines."),
        _app(answers),
    ]
    if answers.directory:
        why = "The app's folder, relative to the folder of this file."
        found.append(KeyLine("directory", yaml_scalar(answers.directory), why))
    found.append(_listen(answers))
    if answers.proxied:
        found.append(_forwarded(answers))
    return found


def _app(answers: Answers) -> KeyLine:
    why = {
        "echo": "Sends back what it receives.",
        "demo": "The built-in application; replace it with your own: app: {wsgi: package.module:callable}.",
        "static": "A folder of files. Links that point outside it and names that begin with a dot are not served.",
        "cgi": "Programs, run for each request; a program that takes longer than 60 s is killed (timeout).",
    }
    named = answers.kind in (*TARGETED, *FOLDERS)
    value = f"{{{answers.kind}: {yaml_scalar(answers.app)}}}" if named else answers.kind
    found = f"{answers.where[:1].upper()}{answers.where[1:]}." if answers.where else why.get(answers.kind, _IMPORTED)
    return KeyLine("app", value, found)


_IMPORTED = "Each worker imports the module, which is looked up in the folder of this file first."


def _listen(answers: Answers) -> KeyLine:
    address = answers.address
    if answers.encrypted:
        return _tls(answers)
    if address.startswith("unix://"):
        return _unix(answers)
    all_addresses = "tcp://0.0.0.0:" in address or "tcp://[::]:" in address
    why = "One address of this machine." if address.startswith("tcp://") else "The address that was given."
    if any(f"//{local}:" in address.replace("[", "").replace("]", "") for local in _LOCAL):
        why = "Reachable from this machine only" + (", by the proxy." if answers.proxied else ".")
    if all_addresses:
        why = "All addresses of this machine" + (
            "; make sure that only the proxy can reach it." if answers.proxied else "."
        )
    alternatives = []
    if all_addresses and answers.proxied:
        alternatives.append(Alternative("To listen on one network only", (("listen", "tcp://10.0.0.5:8000"),)))
    return KeyLine("listen", yaml_scalar(address), why, alternatives=tuple(alternatives))


def _tls(answers: Answers) -> KeyLine:
    key = f", key: {yaml_scalar(answers.key)}" if answers.key else ""
    value = f"{{at: {_flow(answers.address)}, tls: {{certificate: {yaml_scalar(answers.certificate)}{key}}}}}"
    why = (
        "TLS 1.2 and 1.3, at a cost of about 13 microseconds per request. poolctl reload reads a new certificate. "
        "For port 443 start it as root, and set user: NAME for the app's user."
    )
    return KeyLine("listen", value, why, "TLS is terminated here, with your certificate")


def _unix(answers: Answers) -> KeyLine:
    value = f'{{at: {_flow(answers.address)}, mode: "0660"}}'
    folder = PurePosixPath(answers.address.removeprefix("unix://")).parent
    why = (
        f"A socket that only the server's user and group can use; the folder {folder} must exist "
        f"(RuntimeDirectory={folder.name} in a systemd unit). The proxy must be a member of that group."
    )
    other = f'{{at: {_flow(answers.address)}, mode: "0660", group: www-data}}'
    when = "To give the socket the proxy's group, as root or as a member of that group"
    short = "only the proxy can reach it" if answers.proxied else ""
    return KeyLine("listen", value, why, short, (Alternative(when, (("listen", other),)),))


def _flow(address: str) -> str:
    return yaml_scalar(address)


def _forwarded(answers: Answers) -> KeyLine:
    trusted = "unix" if answers.address.startswith("unix://") else answers.trust
    proxy = "clients of the unix socket" if trusted == "unix" else trusted
    why = (
        f"The proxy ({proxy}) states its clients' addresses in X-Forwarded-For, -Proto and -Host; from others these "
        "headers are ignored. The proxy must set or clear all three itself, or clients could forge them."
    )
    other = Alternative("If the proxy sets Forwarded (RFC 7239)", (("forwarded", _trust(trusted, "forwarded")),))
    return KeyLine("forwarded", _trust(trusted), why, "the app sees the clients' addresses, not the proxy's", (other,))


def _trust(trusted: str, header: str = "") -> str:
    return f"{{trust: {yaml_scalar(trusted)}{', header: ' + header if header else ''}}}"


def keys_after_axes(answers: Answers, chosen: Design) -> list[KeyLine]:
    """Return the keys after the axes: preload, limits, timeouts and the access log."""
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


_PRELOAD = KeyLine(
    "preload",
    "true",
    "The app is imported once and then forked, so that the processes share its memory: eight processes of an app with "
    "100 MB take 129 MB instead of 900. The import must start no threads and leave no connections open, because "
    "neither survives a fork.",
    "the processes share the app's memory",
    (Alternative("If the import does", (("preload", "false"),)),),
)
_THREADS = KeyLine(
    "limits",
    "{connections: 1000}",
    "Each connection occupies a thread from its first bytes on; this limits their number.",
    "each connection occupies a thread",
)
_COMBINED = KeyLine(
    "access_log",
    "combined",
    "One line per request on stdout, in the format of nginx and Apache, at a cost of 2.4 microseconds.",
    "one line per request, since no proxy writes one",
    (Alternative("As JSON objects; off for none", (("access_log", "json"),)),),
)
_SHORT = KeyLine(
    "access_log",
    "'%m %U%q %s %{ms}T ms'",
    "One short line per request on stdout.",
    "shows each request during development",
)


def _timeouts(answers: Answers) -> list[KeyLine]:
    if answers.proxied:
        why = (
            "The proxy should close idle connections first; otherwise it may send a request on a connection that this "
            "server has just closed. nginx closes them after 60 s (keepalive_timeout of the upstream)."
        )
        return [KeyLine("timeouts", "{idle: 75s}", why, "longer than nginx keeps an idle connection")]
    if not answers.production:
        why = "Ctrl-C waits this long for requests in flight, instead of 30 s."
        return [KeyLine("timeouts", "{drain: 1s}", why)]
    return []


def notes(answers: Answers) -> tuple[str, ...]:
    """Return what is needed besides the file, for the terminal."""
    found = []
    if answers.address.startswith("unix://"):
        folder = PurePosixPath(answers.address.removeprefix("unix://")).parent
        found.append(f"create the folder {folder}, in which the server creates its socket")
    if answers.keeps == "client" and not answers.direct:
        found.append("behind a proxy all clients share one address, so a single process keeps the data of all of them")
    return tuple(found)
