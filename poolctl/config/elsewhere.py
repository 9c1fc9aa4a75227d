"""Keys that people write where poolctl has another word or another place for them.

``FOREIGN`` are the words of gunicorn, uvicorn, granian, hypercorn, uWSGI and nginx, spelled without dashes and
underscores.
"""

from __future__ import annotations

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


def place_for(key: str, nested: Mapping[str, type[BaseModel]]) -> str:
    """Where a key that is unknown belongs, as help; empty when that is not known."""
    for owner, part in nested.items():
        if key in part.model_fields:
            return f"it belongs into {owner}: {owner}: {{{key}: ...}}"
    word = FOREIGN.get(key.lower().replace("-", "").replace("_", ""))
    return f"poolctl's word for it is {word}" if word else ""
