"""Paths in a topology are relative to the folder of the file that has them.

    directory                                     to the folder of its file
    all other paths, and modules                  to ``directory`` where there is one, else to that folder

Paths of options and of standard input are relative to the folder in which poolctl is started. Where that is the file's
own folder nothing is changed, so messages show a path as it was written.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from poolctl.config.diagnostic import SourceText
from poolctl.config.tree import Tree

TLS = (("certificate",), ("key",), ("password_file",), ("clients", "authority"))
PRIVATE = ("key", "password_file", "pid_file", "to")  # keys whose files must not be published
STREAMS = ("stdout", "stderr")


def folder_of(source: SourceText) -> str:
    """The absolute folder of a file; empty for standard input, options and files in the working directory."""
    if not source.is_file or source.name.startswith("<") or os.sep not in source.name:
        return ""
    folder = os.path.dirname(source.name)
    try:
        return "" if os.path.samefile(folder, ".") else os.path.abspath(folder)
    except OSError:  # the working directory is gone
        return folder if folder.startswith(os.sep) else ""


def module_folder(tree: Tree) -> str:
    """The folder that is searched for the app's modules before the working directory; empty where they are the same."""
    if tree.value_at(("directory",)) if tree.has(("directory",)) else False:
        return ""
    return folder_of(tree.at_value(("app",)).source)


def private_files(tree: Tree) -> tuple[str, ...]:
    """The absolute paths of the files that a topology was read from, and of its keys, PID file and access log."""
    return _files(tree, lambda path: path[-1] in PRIVATE)


def files_read(tree: Tree) -> tuple[str, ...]:
    """The absolute paths of the files that a topology was read from, and of its TLS files: the server reads them when
    it starts and when it reloads."""
    return _files(tree, lambda path: "tls" in path)


def tls_files(tree: Tree) -> tuple[str, ...]:
    """The absolute paths of the TLS files of a topology."""
    return _named(tree, lambda path: "tls" in path)


def _files(tree: Tree, wanted: Callable[[Sequence[str | int]], bool]) -> tuple[str, ...]:
    """The absolute paths of the files that a topology was read from, and of those that it names at ``wanted`` keys."""
    files = [name for name, source in tree.sources.items() if source.is_file and not name.startswith("<")]
    return (*map(os.path.abspath, files), *_named(tree, wanted))


def _named(tree: Tree, wanted: Callable[[Sequence[str | int]], bool]) -> tuple[str, ...]:
    """The absolute paths of the files that a topology names at ``wanted`` keys."""
    base = str(tree.value_at(("directory",)) or "") if tree.has(("directory",)) else ""
    paths = [path for path in _paths(tree) if wanted(path) and tree.has(path)]
    named = [value for path in paths if isinstance(value := tree.value_at(path), str)]
    return tuple(os.path.abspath(os.path.join(base, each)) for each in named)


def resolve_paths(tree: Tree) -> None:
    """Make the relative paths that come from files outside the working directory absolute."""
    folders = {name: folder for name, source in tree.sources.items() if (folder := folder_of(source))}
    if not folders:
        return
    directed = tree.has(("directory",)) and bool(tree.value_at(("directory",)))
    for path in (("directory",),) if directed else _paths(tree):
        if tree.has(path):
            _resolve(tree, path, folders)


def _paths(tree: Tree) -> Iterator[Sequence[str | int]]:
    """All keys whose values are paths, whether the file has them or not."""
    yield from (("pid_file",), ("access_log", "to"))
    yield from (("app", "static"), ("app", "cgi"), ("app", "documents"))
    for name_key in ("use", "kind"):  # either names the app
        word = str(tree.value_at(("app", name_key))) if tree.has(("app", name_key)) else ""
        option = {"static": "folder", "cgi": "program"}.get(word)
        yield from ((("app", option),) if option else ())
    listen = tree.find(("listen",))[1]
    entries = range(len(listen.value)) if isinstance(listen, SequenceNode) else ()
    for base in (("listen",), *(("listen", index) for index in entries)):
        names = tree.find((*base, "tls", "names"))[1] if tree.has((*base, "tls", "names")) else None
        for key in TLS:
            yield (*base, "tls", *key)
        for name in [each.value for each, _ in names.value] if isinstance(names, MappingNode) else ():
            yield from ((*base, "tls", "names", name, *key) for key in TLS)


def _resolve(tree: Tree, path: Sequence[str | int], folders: dict[str, str]) -> None:
    """Make one path absolute, in a node of its own: an alias elsewhere may use the same text for something else."""
    old = tree.find(path)[1]
    if not isinstance(old, ScalarNode) or not old.value or not old.tag.endswith(":str"):
        return
    folder = folders.get(old.start_mark.name)
    if folder is None or os.path.isabs(old.value) or (path[0] == "access_log" and old.value in STREAMS):
        return
    value = os.path.join(folder, old.value.removeprefix("./"))
    new = ScalarNode(old.tag, value, old.start_mark, old.end_mark, old.style)
    for marked in (tree.substituted, tree.unusable):
        if id(old) in marked:
            marked[id(new)] = marked[id(old)]  # type: ignore[assignment]  # the two dicts have different values
    _put(tree.find(path[:-1])[1], path[-1], new)


def _put(parent: Node | None, part: str | int, new: Node) -> None:
    assert isinstance(parent, MappingNode)  # every path is the value of a key
    parent.value = [
        (key, new if isinstance(key, ScalarNode) and key.value == part else value) for key, value in parent.value
    ]
