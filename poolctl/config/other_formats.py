"""Files in another format, given instead of a topology: one finding says what the file looks like, instead of whatever
a YAML parser would complain about."""

from __future__ import annotations

import re
from typing import NamedTuple

from poolctl.config.diagnostic import Diagnostic, SourceText

BEGINNING = 4000  # characters that are examined


class Format(NamedTuple):
    """A format that is recognised by ``endings`` of the file's name, or by ``text``, a pattern in its content."""

    name: str
    endings: tuple[str, ...]
    text: str
    help: str


_APP = "name the application in a topology, app: {{wsgi: {module}:CALLABLE}}; poolctl init writes one"
_KEYS = "write a topology, which is YAML with keys of its own; poolctl init writes one"
_LINES = r"\A(?:[ \t]*(?:[#;].*)?\n)*"  # comments and empty lines
FORMATS = (
    Format(
        "a Python file",
        (".py", ".pyi", ".pyw"),
        r"(?m)^(?:from [\w.]+ import |import \w|(?:async )?def \w+\(|class \w+[(:]|@\w+[.(]|#!.*python|if __name__ )",
        _APP,
    ),
    Format("a shell script", (".sh", ".bash"), r"\A#!.*\b(?:sh|bash|zsh|env)\b", _KEYS),
    Format("an nginx or Caddy configuration", (), r"(?m)^[ \t]*[\w*.:/~^-]*[\w*./~^-] +\{[ \t]*(?:#.*)?$", _KEYS),
    Format("a TOML or INI file", (".toml", ".ini", ".cfg"), rf"(?m){_LINES}\[\[?[\w.\":-]+\]\]?[ \t]*$", _KEYS),
    Format("a file of NAME = VALUE lines", (".env", ".conf"), rf"{_LINES}(?:export )?[\w.-]+ *= *\S", _KEYS),
    Format("an XML or HTML file", (".xml", ".html", ".htm"), r"\A\s*<[?!\w]", _KEYS),
    Format(
        "JSON with comments",
        (),
        r"\A(?=[ \t]*(?://|/\*))(?:[ \t]*(?://.*|/\*.*\*/)?[ \t]*\n)+[ \t]*\{",
        "remove the comments, or begin them with #",
    ),
    Format(
        "a Docker Compose file",
        (),
        r"(?ms)^services[ \t]*:.*(?:^[ \t]+|[{,][ \t]*)(?:image|build)[ \t]*:",
        "keep it, and run a topology in the container, command: poolctl run topology.yaml; poolctl init writes one; in"
        " a container, give it listen: tcp://0.0.0.0:8000",
    ),
    Format(
        "a Kubernetes manifest",
        (),
        r"(?ms)\A(?=.*^apiVersion[ \t]*:).*^kind[ \t]*:",
        "keep it, and run a topology in the container, args: [poolctl, run, topology.yaml]; poolctl init writes one; in"
        " a container, give it listen: tcp://0.0.0.0:8000",
    ),
    Format("a Dockerfile", (), rf"{_LINES}FROM \S", _KEYS),
)
_OWN_KEYS = re.compile(r"(?m)^(?:app|pool|listen|protocol|ownership|dispatch|affinity|limits|timeouts)[ \t]*:")
GUNICORN = ("bind", "workers", "worker_class", "accesslog", "wsgi_app")  # names of gunicorn's settings


def other_format(source: SourceText, code: str = "PC101") -> Diagnostic | None:
    """The finding for a file in another format that is known; None when it is not."""
    text = source.text[:BEGINNING]
    own_keys = _OWN_KEYS.search(text)
    for kind in FORMATS:
        if source.name.lower().endswith(kind.endings) or (not own_keys and re.search(kind.text, text)):
            name, help_ = kind.name, kind.help.format(module=_module(source.name))
            if sum(bool(re.search(rf"(?m)^{word} *=", text)) for word in GUNICORN) > 1:
                name, help_ = "a gunicorn configuration", _KEYS
            place = source.at(0, max(1, len(source.line(0).rstrip())))
            return Diagnostic(code, f"this is {name}, not a topology", place, help_)
    return None


def _module(name: str) -> str:
    found = re.search(r"([A-Za-z_]\w*)\.py\Z", name)
    return found[1] if found else "MODULE"
