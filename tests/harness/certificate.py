"""An address with TLS, and clients that trust it."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import trustme


def certified(folder: Path) -> tuple[dict[str, Any], ssl.SSLContext]:
    """A value of `listen`, its certificate for localhost in this folder, and the context of clients that trust it."""
    authority, trusted = trustme.CA(), ssl.create_default_context()
    authority.configure_trust(trusted)
    issued = authority.issue_cert("localhost")
    files = {"certificate": folder / "cert.pem", "key": folder / "key.pem"}
    issued.cert_chain_pems[0].write_to_path(str(files["certificate"]))
    issued.private_key_pem.write_to_path(str(files["key"]))
    return {"at": "tcp://127.0.0.1:0", "tls": {word: str(path) for word, path in files.items()}}, trusted
