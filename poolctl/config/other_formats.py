"""Files of another kind, given in the place of a topology: one finding says what the file looks like, in the place of
whatever a parser of YAML makes of it."""

from __future__ import annotations

import re
from typing import NamedTuple

from poolctl.config.diagnostic import Diagnostic, Source

BEGINNING = 4000  # characters that are looked at


class Kind(NamedTuple):
    """``endings`` of names that are enough, or ``text``, which is searched for."""

    name: str
    endings: tuple[str, ...]
    text: str
    help: str


_APP = "an application is named in a topology: app: {{wsgi: {module}:CALLABLE}}; poolctl init writes one"
_KEYS = "a topology is YAML, key: value, and has keys of its own; poolctl init writes one"
_LINES = r"\A(?:[ \t]*(?:[#;].*)?\n)*"  # comments and empty lines
KINDS = (
    Kind(
        "a Python file",
        (".py", ".pyi", ".pyw"),
        r"(?m)^(?:from [\w.]+ import |import \w|(?:async )?def \w+\(|class \w+[(:]|@\w+[.(]|#!.*python|if __name__ )",
        _APP,
    ),
    Kind("a shell script", (".sh", ".bash"), r"\A#!.*\b(?:sh|bash|zsh|env)\b", _KEYS),
    Kind("a file of nginx or Caddy", (), r"(?m)^[ \t]*[\w*.:/~^-]*[\w*./~^-] +\{[ \t]*(?:#.*)?$", _KEYS),
    Kind("a TOML or INI file", (".toml", ".ini", ".cfg"), rf"(?m){_LINES}\[\[?[\w.\":-]+\]\]?[ \t]*$", _KEYS),
    Kind("a file of NAME = VALUE lines", (".env", ".conf"), rf"{_LINES}(?:export )?[\w.-]+ *= *\S", _KEYS),
    Kind("an XML or HTML file", (".xml", ".html", ".htm"), r"\A\s*<[?!\w]", _KEYS),
    Kind(
        "JSON with comments",
        (),
        r"\A(?=[ \t]*(?://|/\*))(?:[ \t]*(?://.*|/\*.*\*/)?[ \t]*\n)+[ \t]*\{",
        "leave out the comments: those of YAML begin with #",
    ),
    Kind(
        "a file of Docker Compose",
        (),
        r"(?ms)^services[ \t]*:.*(?:^[ \t]+|[{,][ \t]*)(?:image|build)[ \t]*:",
        "let it stay as it is, and start a topology in the container: command: poolctl run topology.yaml; poolctl init"
        " writes one, and in a container it has listen: tcp://0.0.0.0:8000",
    ),
    Kind(
        "a manifest of Kubernetes",
        (),
        r"(?ms)\A(?=.*^apiVersion[ \t]*:).*^kind[ \t]*:",
        "let it stay as it is, and start a topology in the container: args: [poolctl, run, topology.yaml]; poolctl init"
        " writes one, and in a container it has listen: tcp://0.0.0.0:8000",
    ),
    Kind("a Dockerfile", (), rf"{_LINES}FROM \S", _KEYS),
)
_ITS_KEYS = re.compile(r"(?m)^(?:app|pool|listen|protocol|ownership|dispatch|affinity|limits|timeouts)[ \t]*:")
FOR_WHOM = ("bind", "workers", "worker_class", "accesslog", "wsgi_app")  # names of gunicorn's settings


def other_format(source: Source, code: str = "PC101") -> Diagnostic | None:
    """What is said of a file that is no topology but something else that is known; None when it is not."""
    text = source.text[:BEGINNING]
    its_own = _ITS_KEYS.search(text)
    for kind in KINDS:
        if source.name.lower().endswith(kind.endings) or (not its_own and re.search(kind.text, text)):
            name, help_ = kind.name, kind.help.format(module=_module(source.name))
            if sum(bool(re.search(rf"(?m)^{word} *=", text)) for word in FOR_WHOM) > 1:
                name, help_ = "a configuration of gunicorn", _KEYS
            place = source.at(0, max(1, len(source.line(0).rstrip())))
            return Diagnostic(code, f"this is {name}, and not a topology", place, help_)
    return None


def _module(name: str) -> str:
    found = re.search(r"([A-Za-z_]\w*)\.py\Z", name)
    return found[1] if found else "MODULE"
