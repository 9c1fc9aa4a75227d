"""Media types by file name extension."""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping

UNKNOWN_TYPE = "application/octet-stream"
# Types that some versions of mimetypes lack, and compressed files, which are sent as such, without Content-Encoding.
MORE_TYPES = {
    ".7z": "application/x-7z-compressed",
    ".avif": "image/avif",
    ".br": "application/octet-stream",
    ".bz2": "application/x-bzip2",
    ".flac": "audio/flac",
    ".gz": "application/gzip",
    ".js": "text/javascript",
    ".jsonld": "application/ld+json",
    ".log": "text/plain",
    ".map": "application/json",
    ".md": "text/markdown",
    ".mjs": "text/javascript",
    ".ogg": "audio/ogg",
    ".otf": "font/otf",
    ".ttf": "font/ttf",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
    ".webp": "image/webp",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
    ".xz": "application/x-xz",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
    ".zst": "application/zstd",
}


class Types:
    """Media types from Python's built-in table, not from /etc/mime.types, so that a server answers the same on every
    machine. Entries of ``own`` take precedence."""

    def __init__(self, own: Mapping[str, str]) -> None:
        table = mimetypes.MimeTypes()
        found = {**table.types_map[False], **table.types_map[True], **MORE_TYPES, **own}
        self._types = {ending.lower(): _with_charset(kind) for ending, kind in found.items()}

    def of(self, name: str) -> str:
        """Return the Content-Type of a file of this name."""
        stem, dot, ending = name.rpartition(".")
        return self._types.get(f".{ending.lower()}", UNKNOWN_TYPE) if dot and stem else UNKNOWN_TYPE


def _with_charset(kind: str) -> str:
    """Return the media type with charset=utf-8 added if it is a text type without a charset."""
    return f"{kind}; charset=utf-8" if kind.startswith("text/") and "charset" not in kind.lower() else kind
