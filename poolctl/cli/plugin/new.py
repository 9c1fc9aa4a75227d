"""poolctl plugin new: write a working plugin and its test, as a starting point.

The templates are working files themselves: a part named my-part, of the class MyPart in my_part.py.
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

from poolctl.cli.output import echo

NAME = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")
TEMPLATES = Path(__file__).parent / "templates"
MAX_NAME = 60  # characters
WRONG_USE = 2


class PluginKind(StrEnum):
    """The values of --kind: the axes that a plugin can be for."""

    DISPATCH = "dispatch"
    APP = "app"
    PROTOCOL = "protocol"
    OWNERSHIP = "ownership"
    POOL = "pool"


def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name for topologies, for instance first-free.")],
    kind: Annotated[PluginKind, typer.Option(help="The axis that the plugin is for.")] = PluginKind.DISPATCH,
    package: Annotated[
        bool, typer.Option("--package", help="Write an installable folder with pyproject.toml and entry point.")
    ] = False,
    folder: Annotated[str, typer.Option("-C", "--folder", metavar="FOLDER", help="Where to write it.")] = ".",
) -> None:
    """Write a working plugin and its test, as a starting point.

    The files are NAME.py and test_NAME.py; with --package they are in a folder. Existing files are not overwritten.
    """
    from poolctl.cli.plugin.find import error_exit

    if not NAME.fullmatch(name) or len(name) > MAX_NAME or keyword.iskeyword(name):
        fix = "use lower-case letters, digits and dashes, for instance first-free"
        raise error_exit(f'"{name}" is not a valid plugin name', fix)
    files = _files(name, kind.value, package)
    base = Path(folder) / (f"poolctl-{name}" if package else "")
    existing = [base / file for file in files if (base / file).exists()]
    if existing:
        raise error_exit(f"{existing[0]} already exists", "choose another name, or another folder with -C")
    _refuse_taken(name, kind.value, package)
    try:
        base.mkdir(parents=True, exist_ok=True)
        for file, text in files.items():
            (base / file).write_text(text, encoding="utf-8")
    except OSError as error:
        raise error_exit(f"cannot write {error.filename}: {error.strerror}") from None
    for file in files:
        echo(f"wrote {base / file}")
    echo(f"\n{_next_steps(base, name, kind.value, package)}")


def _refuse_taken(name: str, kind: str, package: bool) -> None:
    """Exit with an error if a plugin of this name could not be used: a built-in word takes precedence, and so does an
    installed module of the same name."""
    from importlib.util import find_spec

    from poolctl.assembly.registry import words
    from poolctl.cli.plugin.find import error_exit

    if package and name in words(kind):
        raise error_exit(
            f'"{name}" is a built-in word, which takes precedence', f"choose another name, for instance my-{name}"
        )
    module = _names(name)[0]
    if not package and (module in sys.stdlib_module_names or find_spec(module) is not None):
        fix = f"choose another name, for instance my-{name}, or add --package, which names the module poolctl_{module}"
        raise error_exit(f"a module {module} already exists, and tests would import it instead of {module}.py", fix)


def _names(name: str) -> tuple[str, str]:
    """Return the names of the module and the class."""
    module = name.replace("-", "_")
    return module, "".join(part.capitalize() for part in module.split("_"))


def _files(name: str, kind: str, package: bool) -> dict[str, str]:
    """Return the text of each file by its name."""
    from poolctl import __version__

    module, cls = _names(name)
    module = f"poolctl_{module}" if package else module
    words = {"my-part": name, "my_part": module, "MyPart": cls, "AXIS": kind, "0.0.0": __version__}
    files = {f"{module}.py": _filled(f"{kind}.py", words), f"test_{module}.py": _filled(f"test_{kind}.py", words)}
    if package:
        words["TOPOLOGY"] = _filled(f"{kind}.yaml", {"USE": name})
        files |= {file: _filled(file, words) for file in ("pyproject.toml", "README.md")}
    return files


def _filled(template: str, words: Mapping[str, str]) -> str:
    """Return the text of a template, with its placeholders replaced by these words."""
    text = (TEMPLATES / template).read_text(encoding="utf-8")
    return re.sub("|".join(map(re.escape, words)), lambda found: words[found[0]], text)


def _next_steps(base: Path, name: str, kind: str, package: bool) -> str:
    module, cls = _names(name)
    if package:
        return f"next: pip install -e '{base}[test]', run pytest {base}, and use {name} in a topology"
    topology = _filled(f"{kind}.yaml", {"USE": f"./{module}.py:{cls}"})
    lines = "".join(f"    {line}\n" for line in topology.splitlines())
    test = base / f"test_{module}.py"
    return f"next: run pytest {test}, and use it in a topology in the same folder:\n\n{lines}".rstrip("\n")
