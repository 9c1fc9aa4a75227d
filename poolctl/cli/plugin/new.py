"""poolctl plugin new: begin a plugin with something that works, and its test."""

from __future__ import annotations

import keyword
import re
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from poolctl.cli.say import say

NAME = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")
LONGEST = 60  # characters of a name
WRONG_USE = 2


class Kind(StrEnum):
    """The words of --kind: the axes that a new part can be of."""

    DISPATCH = "dispatch"
    APP = "app"
    PROTOCOL = "protocol"
    OWNERSHIP = "ownership"
    POOL = "pool"


def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="As topologies shall name it, for instance first-free.")],
    kind: Annotated[Kind, typer.Option(help="The axis that it is of.")] = Kind.DISPATCH,
    package: Annotated[
        bool, typer.Option("--package", help="A folder that can be installed, with pyproject.toml and entry point.")
    ] = False,
    folder: Annotated[str, typer.Option("-C", "--folder", metavar="FOLDER", help="Where it is written.")] = ".",
) -> None:
    """Write a plugin that works, and its test, to begin with.

    NAME.py and test_NAME.py; with --package a folder of them. Nothing that is there is overwritten.
    """
    from poolctl.cli.plugin.find import left

    if not NAME.fullmatch(name) or len(name) > LONGEST or keyword.iskeyword(name):
        raise left(f'"{name}" is no name for a plugin', "small letters, digits and dashes, for instance first-free")
    files = _files(name, kind.value, package)
    base = Path(folder) / (f"poolctl-{name}" if package else "")
    there = [base / file for file in files if (base / file).exists()]
    if there:
        raise left(f"{there[0]} already exists", "take another name, or -C another folder")
    _free(name, kind.value, package)
    try:
        base.mkdir(parents=True, exist_ok=True)
        for file, text in files.items():
            (base / file).write_text(text, encoding="utf-8")
    except OSError as error:
        raise left(f"{error.filename} cannot be written: {error.strerror}") from None
    for file in files:
        say(f"wrote {base / file}")
    say(f"\n{_next(base, name, kind.value, package)}")


def _free(name: str, kind: str, package: bool) -> None:
    """Leaves where a plugin of this name could not be used: a word of poolctl's own always means poolctl's, and of two
    modules with one name Python finds the other."""
    from importlib.util import find_spec

    from poolctl.assembly.registry import words
    from poolctl.cli.plugin.find import left

    if package and name in words(kind):
        raise left(
            f'"{name}" is a word of poolctl\'s own, and always means that', f"take another, for instance my-{name}"
        )
    module = _named(name)[0]
    if not package and (module in sys.stdlib_module_names or find_spec(module) is not None):
        fix = f"take another name, for instance my-{name}; or --package, where it is poolctl_{module}"
        raise left(f"there is a module {module} already, which tests of {module}.py would import instead", fix)


def _named(name: str) -> tuple[str, str]:
    """The module and the class."""
    module = name.replace("-", "_")
    return module, "".join(part.capitalize() for part in module.split("_"))


def _files(name: str, kind: str, package: bool) -> dict[str, str]:
    from poolctl import __version__
    from poolctl.cli.plugin.templates import PYPROJECT, README, TEMPLATES, TOPOLOGY

    module, cls = _named(name)
    module = f"poolctl_{module}" if package else module
    words = {"name": name, "module": module, "cls": cls, "kind": kind, "version": __version__}
    code, test = (text.format(**words) for text in TEMPLATES[kind])
    files = {f"{module}.py": code, f"test_{module}.py": test}
    if package:
        topology = TOPOLOGY[kind].format(use=name)
        files |= {"pyproject.toml": PYPROJECT.format(**words), "README.md": README.format(**words, topology=topology)}
    return files


def _next(base: Path, name: str, kind: str, package: bool) -> str:
    from poolctl.cli.plugin.templates import TOPOLOGY

    module, cls = _named(name)
    if package:
        return f"next: pip install -e '{base}[test]', then pytest {base}, and name it {name} in a topology"
    topology = TOPOLOGY[kind].format(use=f"./{module}.py:{cls}")
    lines = "".join(f"    {line}\n" for line in topology.splitlines())
    return f"next: pytest {base / f'test_{module}.py'}, and beside a topology like this one\n\n{lines}".rstrip("\n")
