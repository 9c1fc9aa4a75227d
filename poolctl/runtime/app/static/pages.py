"""Responses that the app ``static`` generates: errors, and the listing of a folder."""

from __future__ import annotations

import os
import stat
from html import escape
from itertools import islice
from urllib.parse import quote

from poolctl.runtime.app.static.private import Private, may_be_topology
from poolctl.runtime.protocol.http.response import HttpResponse

LISTED_NAMES = 10_000  # names in a listing; the rest is left out
TEXT = ("Content-Type", "text/plain; charset=utf-8")
PAGE_TEXTS = {
    301: "301 Moved Permanently",
    400: "400 Bad Request",
    403: "403 Forbidden",
    404: "404 Not Found",
    405: "405 Method Not Allowed",
    412: "412 Precondition Failed",
    416: "416 Range Not Satisfiable",
}


def send_status(response: HttpResponse, code: int, *headers: tuple[str, str]) -> None:
    """Send a response whose body is its status line as text."""
    text = f"{PAGE_TEXTS[code]}\n".encode()
    response.begin(PAGE_TEXTS[code], [TEXT, *headers])
    response.only(text)


def listing(folder: int, path: bytes, hidden: bool, private: Private) -> bytes:
    """Return the contents of an open folder as an HTML page, sorted by name, folders with a slash. Names with a leading
    dot are included only if ``hidden`` is true, files that are ``private`` never."""
    with os.scandir(folder) as entries:
        names = [
            os.fsencode(entry.name) + (b"/" if entry.is_dir(follow_symlinks=False) else b"")
            for entry in islice(entries, LISTED_NAMES)
            if (hidden or not entry.name.startswith(".")) and not _is(private, entry, folder)
        ]
    title = escape(path.decode("utf-8", "replace"))
    above = ['<li><a href="../">../</a></li>'] if path != b"/" else []
    lines = [
        f'<li><a href="./{quote(name)}">{escape(name.decode("utf-8", "replace"))}</a></li>' for name in sorted(names)
    ]
    return "\n".join(
        [
            "<!doctype html>",
            f'<html lang="en"><head><meta charset="utf-8"><title>{title}</title></head>',
            f"<body><h1>{title}</h1><ul>",
            *above,
            *lines,
            "</ul></body></html>",
            "",
        ]
    ).encode("utf-8", "replace")


def _is(private: Private, entry: os.DirEntry[str], folder: int) -> bool:
    name = os.fsencode(entry.name)
    try:
        status = entry.stat()
        if not may_be_topology(name) or not stat.S_ISREG(status.st_mode):
            return private.has(name, status, -1)
        file = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except OSError:
        return False  # the file was removed, is a dangling link, or cannot be read
    try:
        return private.has(name, os.fstat(file), file)
    finally:
        os.close(file)
