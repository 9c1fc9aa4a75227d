"""poolctl plugin new: begin a plugin with something that works, and its test.

The templates are files that could run: a part named my-part, of the class MyPart in my_part.py.
"""

from __future__ import annotations

import keyword
import re
import sys
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from poolctl.cli.output import say

NAME = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")
TEMPLATES = Path(__file__).parent / "templates"
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
    """What is written: the text of each file by its name."""
    from poolctl import __version__

    module, cls = _named(name)
    module = f"poolctl_{module}" if package else module
    words = {"my-part": name, "my_part": module, "MyPart": cls, "AXIS": kind, "0.0.0": __version__}
    files = {f"{module}.py": _filled(f"{kind}.py", words), f"test_{module}.py": _filled(f"test_{kind}.py", words)}
    if package:
        words["TOPOLOGY"] = _filled(f"{kind}.yaml", {"USE": name})
        files |= {file: _filled(file, words) for file in ("pyproject.toml", "README.md")}
    return files


def _filled(template: str, words: Mapping[str, str]) -> str:
    """The text of a template, with these words in the place of those that stand for them."""
    text = (TEMPLATES / template).read_text(encoding="utf-8")
    return re.sub("|".join(map(re.escape, words)), lambda found: words[found[0]], text)


def _next(base: Path, name: str, kind: str, package: bool) -> str:
    module, cls = _named(name)
    if package:
        return f"next: pip install -e '{base}[test]', then pytest {base}, and name it {name} in a topology"
    topology = _filled(f"{kind}.yaml", {"USE": f"./{module}.py:{cls}"})
    lines = "".join(f"    {line}\n" for line in topology.splitlines())
    return f"next: pytest {base / f'test_{module}.py'}, and beside a topology like this one\n\n{lines}".rstrip("\n")
