"""Keys that people write where poolctl has another word or another place for them.

``FOREIGN`` are the words of gunicorn, uvicorn, granian, hypercorn, uWSGI and nginx, spelled without dashes and
underscores.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from pydantic import BaseModel

FOREIGN = {
    "workers": "pool.size",
    "processes": "pool.size",
    "numworkers": "pool.size",
    "workerprocesses": "pool.size",
    "threads": "pool.threads",
    "blockingthreads": "pool.threads",
    "size": "pool.size",
    "kind": "pool.kind",
    "workerclass": "ownership and pool",
    "worker": "pool",
    "accept": "ownership.accept",
    "lock": "ownership.lock",
    "bind": "listen",
    "host": "listen",
    "port": "listen",
    "address": "listen",
    "socket": "listen",
    "uds": "listen (unix:///PATH)",
    "fd": "listen (fd://NUMBER)",
    "at": "listen",
    "wsgi": "app",
    "asgi": "app",
    "wsgiapp": "app",
    "module": "app",
    "target": "app.target",
    "timeout": "timeouts.request",
    "harakiri": "timeouts.request",
    "keepalive": "timeouts.idle",
    "keepalivetimeout": "timeouts.idle",
    "timeoutkeepalive": "timeouts.idle",
    "gracefultimeout": "timeouts.drain",
    "shutdowntimeout": "timeouts.drain",
    "timeoutgracefulshutdown": "timeouts.drain",
    "workerconnections": "limits.connections",
    "maxconnections": "limits.connections",
    "limitconcurrency": "limits.connections",
    "queue": "limits.waiting",
    "backpressure": "limits.waiting",
    "limitrequestline": "protocol.target",
    "limitrequestfields": "protocol.headers",
    "clientmaxbodysize": "protocol.body",
    "http2": "protocol.http2",
    "reuseport": "ownership: reuse-port",
    "preloadapp": "preload",
    "chdir": "directory",
    "workingdirectory": "directory",
    "cwd": "directory",
    "env": "environment",
    "rawenv": "environment",
    "pidfile": "pid_file",
    "pid": "pid_file",
    "uid": "user",
    "gid": "group",
    "procname": "name",
    "accesslog": "access_log",
    "accesslogformat": "access_log.format",
    "accesslogfile": "access_log.to",
    "forwardedallowips": "forwarded.trust",
    "proxyheaders": "forwarded",
    "trustedproxies": "forwarded.trust",
    "certfile": "listen.tls.certificate",
    "cert": "listen.tls.certificate",
    "crt": "listen.tls.certificate",
    "sslcertfile": "listen.tls.certificate",
    "sslcertificate": "listen.tls.certificate",
    "keyfile": "listen.tls.key",
    "sslkeyfile": "listen.tls.key",
    "sslcertificatekey": "listen.tls.key",
    "ssl": "listen.tls",
    "cacerts": "listen.tls.clients.authority",
    "proxyprotocol": "listen.proxy_protocol",
    "strategy": "dispatch",
    "loadbalancing": "dispatch",
    "sticky": "affinity",
}


# Words that other servers have for a component, by axis.
WORDS = {
    "app": {
        **dict.fromkeys(("flask", "django", "bottle", "pyramid", "falcon"), "{wsgi: package.module:callable}"),
        **dict.fromkeys(
            ("fastapi", "starlette", "quart", "litestar", "sanic", "uvicorn"), "{asgi: package.module:callable}"
        ),
        "files": "{static: ./public}",
    },
    "pool": {"prefork": "process", "fork": "process", "gthread": "thread", "sync": "process", "none": "iterative"},
    "ownership": {"so-reuseport": "reuse-port", "reuseport": "reuse-port", "accept-mutex": "leader/followers"},
    "dispatch": {
        "least-connections": "least-loaded",
        "least-conn": "least-loaded",
        "leastconn": "least-loaded",
        "rr": "round-robin",
        "p2c": "power-of-choices",
        "fifo": "shared-queue",
        "queue": "shared-queue",
        "ip-hash": "affinity: client",
    },
    "affinity": {"sticky": "client", "ip": "client", "ip-hash": "client", "session": "client", "none": "request"},
    "protocol": {
        "https": "http, with tls at the address: listen: {at: ..., tls: ...}",
        "http2": "{use: http, http2: true}",
    },
}


def place_for(path: str, nested: Mapping[str, type[BaseModel]]) -> str:
    """Where a key that is unknown belongs, as help; empty when that is not known. ``path``: dots between its parts."""
    owner, _, key = path.rpartition(".")
    if not owner:
        for name, part in nested.items():
            if key in part.model_fields:
                return f"it belongs into {name}: {name}: {{{key}: ...}}"
    word = FOREIGN.get(key.lower().replace("-", "").replace("_", ""), "")
    inside = re.sub(r"\.[0-9]+", "", owner)
    if inside and not word.startswith(f"{inside}."):
        return ""
    return f"poolctl's word for it is {word.removeprefix(f'{inside}.') if inside else word}" if word else ""


def word_for(axis: str, name: str) -> str:
    """What a word of another server, or a target without its app, is here, as help; empty when that is not known."""
    if axis == "app" and re.fullmatch(r"[\w.]+:[\w.]+", name):
        return f"did you mean app: {{wsgi: {name}}}, or {{asgi: {name}}}?"
    if re.fullmatch(r"(use|kind):\S+", name):
        return f'write a space after the colon: "{name.replace(":", ": ", 1)}"'
    word = WORDS.get(axis, {}).get(name.lower().replace("_", "-"))
    return f"poolctl's word for it is {word}" if word else ""
