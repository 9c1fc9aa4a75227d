"""Writes exported files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import typer

from poolctl.cli.output import echo

REFUSED = 2


def refused(message: str, fix: str) -> typer.Exit:
    """Print an error. Returns the exit to raise."""
    echo(f"error: {message}; {fix}", err=True)
    return typer.Exit(REFUSED)


def write(files: Mapping[str, str], folder: str, *, force: bool, next_steps: Sequence[str]) -> None:
    """Write the files into a folder, or to standard output if ``folder`` is empty.

    ``next_steps``: commands for the user. Existing files are overwritten only with ``force``; if one may not be, none
    is written.
    """
    if not folder:
        echo("\n".join(files.values()), end="", wrap=False)
        return
    base = Path(folder)
    existing = [base / name for name in files if (base / name).exists()]
    if existing and not force:
        raise refused(f"{existing[0]} already exists", "use --force to overwrite it")
    try:
        base.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (base / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise refused(f"cannot write {error.filename}: {error.strerror}", "choose another folder with --to") from None
    for name in files:
        echo(f"wrote {base / name}")
    echo("\nnext:\n" + "\n".join(f"  {each}" for each in next_steps), wrap=False)  # to be copied
