"""Keys and words of other servers, and what poolctl has instead: another key, or an honest "not yet".

The words are those of gunicorn, uvicorn, granian, hypercorn, waitress, uWSGI, Puma and nginx, spelled without dashes
and underscores. ``KEYS`` gives the key of poolctl that sets the same thing, ``ANSWERS`` an explanation where there is
no such key. suggestions.py turns them into help. The file is long because it is a list.
"""

from __future__ import annotations

KEYS = {
    "workers": "pool.size",
    "processes": "pool.size",
    "numworkers": "pool.size",
    "workerprocesses": "pool.size",
    "workercount": "pool.size",
    "replicas": "pool.size",
    "maxrequests": "recycle.requests",
    "limitmaxrequests": "recycle.requests",
    "maxworkerlifetime": "recycle.age",
    "workerslifetime": "recycle.age",
    "lifetime": "recycle.age",
    "workersmaxrss": "recycle.memory",
    "reloadonrss": "recycle.memory",
    "reloadonas": "recycle.memory",
    "evilreloadonrss": "recycle.memory",
    "maxmemory": "recycle.memory",
    "memorylimit": "recycle.memory",
    "minworkerlifetime": "recycle.least",
    "instances": "pool.size",
    "size": "pool.size",
    "threads": "pool.threads",
    "workerthreads": "pool.threads",
    "numthreads": "pool.threads",
    "runtimeblockingthreads": "pool.threads",
    "blockingthreads": "pool.threads",
    "kind": "pool.kind",
    "worker": "pool.kind",
    "accept": "ownership.accept",
    "lock": "ownership.lock",
    "retry": "ownership.retry",
    "healthcheck": "health",
    "healthchecks": "health",
    "healthcheckpath": "health",
    "healthpath": "health",
    "healthendpoint": "health",
    "bind": "listen",
    "binds": "listen",
    "host": "listen",
    "hosts": "listen",
    "hostname": "listen",
    "port": "listen",
    "address": "listen",
    "addresses": "listen",
    "addr": "listen",
    "socket": "listen",
    "sockets": "listen",
    "httpsocket": "listen",
    "unixsocket": "listen",
    "uds": "listen",
    "fd": "listen",
    "at": "listen",
    "url": "listen",
    "tcp": "listen",
    "unix": "listen",
    "unixsocketperms": "listen.mode",
    "chmodsocket": "listen.mode",
    "udspermissions": "listen.mode",
    "wsgi": "app.wsgi",
    "asgi": "app.asgi",
    "wsgiapp": "app.wsgi",
    "asgiapp": "app.asgi",
    "application": "app.wsgi",
    "callable": "app.wsgi",
    "module": "app.wsgi",
    "wsgimodule": "app.wsgi",
    "target": "app.wsgi",
    "static": "app.static",
    "root": "app.static",
    "documentroot": "app.static",
    "cgi": "app.cgi",
    "lifespan": "app.lifespan",
    "timeout": "timeouts.request",
    "requesttimeout": "timeouts.request",
    "workertimeout": "timeouts.request",
    "harakiri": "timeouts.request",
    "keepalive": "timeouts.idle",
    "keepalivetimeout": "timeouts.idle",
    "timeoutkeepalive": "timeouts.idle",
    "persistenttimeout": "timeouts.idle",
    "idletimeout": "timeouts.idle",
    "channeltimeout": "timeouts.idle",
    "gracefultimeout": "timeouts.drain",
    "graceperiod": "timeouts.drain",
    "stopgraceperiod": "timeouts.drain",
    "terminationgraceperiodseconds": "timeouts.drain",
    "workerskilltimeout": "timeouts.drain",
    "shutdowntimeout": "timeouts.drain",
    "workershutdowntimeout": "timeouts.drain",
    "timeoutgracefulshutdown": "timeouts.drain",
    "firstdatatimeout": "timeouts.head",
    "clientheadertimeout": "timeouts.head",
    "headertimeout": "timeouts.head",
    "clientbodytimeout": "timeouts.body",
    "sendtimeout": "timeouts.write",
    "writetimeout": "timeouts.write",
    "workerconnections": "limits.connections",
    "maxconnections": "limits.connections",
    "connectionlimit": "limits.connections",
    "limitconcurrency": "limits.connections",
    "queue": "limits.waiting",
    "queuesize": "limits.waiting",
    "backpressure": "limits.waiting",
    "listenbacklog": "backlog",
    "somaxconn": "backlog",
    "limitrequestline": "protocol.target",
    "limitrequestfields": "protocol.headers",
    "maxrequestheadersize": "protocol.head",
    "h11maxincompleteeventsize": "protocol.head",
    "buffersize": "protocol.head",
    "headers": "protocol.headers",
    "spool": "protocol.spool",
    "maxbody": "protocol.body",
    "maxbodysize": "protocol.body",
    "bodysize": "protocol.body",
    "clientmaxbodysize": "protocol.body",
    "maxrequestbodysize": "protocol.body",
    "limitpost": "protocol.body",
    "maxuploadsize": "protocol.body",
    "http2": "protocol.http2",
    "h2": "protocol.http2",
    "wsmaxsize": "protocol.websocket_message",
    "websocketmaxmessagesize": "protocol.websocket_message",
    "wspinginterval": "protocol.websocket_ping",
    "websocketpinginterval": "protocol.websocket_ping",
    "wspermessagedeflate": "protocol.websocket_deflate",
    "reuseport": "ownership",
    "preloadapp": "preload",
    "chdir": "directory",
    "cwd": "directory",
    "workingdirectory": "directory",
    "workdir": "directory",
    "appdir": "directory",
    "pythonpath": "directory",
    "dir": "directory",
    "env": "environment",
    "environ": "environment",
    "envs": "environment",
    "rawenv": "environment",
    "variables": "environment",
    "pidfile": "pid_file",
    "pid": "pid_file",
    "uid": "user",
    "gid": "group",
    "procname": "name",
    "processname": "name",
    "containername": "name",
    "title": "name",
    "tag": "name",
    "proto": "protocol",
    "accesslog": "access_log",
    "accesslogs": "access_log",
    "accesslogfile": "access_log.to",
    "logrequests": "access_log",
    "accesslogformat": "access_log.format",
    "accesslogfmt": "access_log.format",
    "logformat": "access_log.format",
    "forwardedallowips": "forwarded.trust",
    "trustedproxies": "forwarded.trust",
    "trustedproxy": "forwarded.trust",
    "trustedhosts": "forwarded.trust",
    "proxyallowips": "forwarded.trust",
    "proxyheaders": "forwarded",
    "tls": "listen.tls",
    "ssl": "listen.tls",
    "https": "listen.tls",
    "certificate": "listen.tls.certificate",
    "certfile": "listen.tls.certificate",
    "cert": "listen.tls.certificate",
    "crt": "listen.tls.certificate",
    "sslcertfile": "listen.tls.certificate",
    "sslcertificate": "listen.tls.certificate",
    "key": "listen.tls.key",
    "keyfile": "listen.tls.key",
    "sslkeyfile": "listen.tls.key",
    "sslcertificatekey": "listen.tls.key",
    "keyfilepassword": "listen.tls.password",
    "sslkeyfilepassword": "listen.tls.password",
    "ciphers": "listen.tls.ciphers",
    "sslciphers": "listen.tls.ciphers",
    "cacerts": "listen.tls.clients.authority",
    "sslcacerts": "listen.tls.clients.authority",
    "sslca": "listen.tls.clients.authority",
    "proxyprotocol": "listen.proxy_protocol",
    "strategy": "dispatch",
    "loadbalancing": "dispatch",
    "balance": "dispatch",
    "scheduler": "dispatch",
    "routing": "dispatch",
    "sticky": "affinity",
    "session": "affinity",
    "sessions": "affinity",
}

_RELOAD = (
    "during development, `poolctl run FILE --watch` reloads whenever code or topology change; in production,"
    " `poolctl reload` runs changed code without a failed request"
)
_METRICS = (
    "poolctl exports no metrics yet: use `poolctl status --format json` for the counters of a running server, and"
    " access_log for a line per request"
)
_JITTER = "write recycle: {requests: 10000, jitter: 0.2}: the jitter is the part of a limit by which workers differ"
_MERCY = "leave it out: a worker that is replaced has timeouts.drain to finish its requests"
_LOGGING = (
    "poolctl logs to standard error, with no level or format to choose yet; use access_log for requests, and set up"
    " logging in the app"
)
_HEALTH = (
    "keep the probe in the manifest, and let it ask for the path that is named here: health: /healthz; it gets 503 from"
    " timeouts.notice on"
)
_HOOKS = "poolctl calls no hooks: put the code in the app's module, or in the lifespan of an ASGI app"
_PREFIX = (
    "poolctl serves one app, at /: set the prefix in the app (root_path of FastAPI, FORCE_SCRIPT_NAME of Django), or"
    " let the proxy strip it"
)
_STATIC = (
    "poolctl serves one app, at /: serve files from the proxy in front, from the app (WhiteNoise), or from a topology"
    " of their own on another address, app: {static: ./static}"
)
_ROUTES = (
    "poolctl serves one app, at /: give each further app a topology of its own, and let the proxy in front choose by"
    " the path; serve files in the same way (app: {static: ./static}), or from the app (WhiteNoise)"
)
_CORS = (
    "poolctl adds no headers: set up CORS in the app (CORSMiddleware of Starlette and FastAPI, django-cors-headers,"
    " Flask-CORS) or in the proxy"
)
_RESPAWN = "poolctl always replaces workers that die: at once, and more slowly if they keep dying; leave this key out"
_PRIORITY = (
    "poolctl leaves this to the service manager: use Nice=, LimitNOFILE=, MemoryMax= and CPUQuota= of systemd, or the"
    " resources of a container"
)
_CONTAINER = (
    "this configures the container, not the server in it: keep it in compose.yaml, the Dockerfile or the manifest, and"
    " set the command there to poolctl run FILE"
)
_PORTS = (
    "publish ports in compose.yaml or the manifest; in the container, have the server listen on all addresses:"
    " listen: tcp://0.0.0.0:8000"
)
_NGINX = (
    "keep this block in nginx.conf, with a proxy_pass to poolctl, and write here what answers its requests:"
    " app: {wsgi: MODULE:CALLABLE}, listen: tcp://127.0.0.1:8000"
)
_PROXY = "poolctl is not a proxy: name the app that a proxy passes requests to, app: {wsgi: MODULE:CALLABLE}"
_MASTER = "poolctl always has a supervisor above the workers, like a master process: leave it out"
_FOREGROUND = "poolctl stays in the foreground: let a service manager such as systemd start it and keep it running"
ONE = "a file is one topology with its keys at the top level: remove this key, and dedent the keys below it"

ANSWERS = {
    **dict.fromkeys(("autoreload", "reloader", "reloaddir", "reloaddirs", "reloadengine", "reloadextrafiles"), _RELOAD),
    **dict.fromkeys(("reloadincludes", "reloaddelay", "watch", "hotreload", "usereloader", "pyautoreload"), _RELOAD),
    **dict.fromkeys(("touchreload", "debug", "dev"), _RELOAD),
    **dict.fromkeys(
        ("metrics", "prometheus", "statsd", "statsdhost", "statsdprefix", "stats", "statsserver"), _METRICS
    ),
    **dict.fromkeys(
        ("dogstatsdtags", "telemetry", "opentelemetry", "otel", "tracing", "admin", "monitoring"), _METRICS
    ),
    **dict.fromkeys(("maxrequestsjitter", "maxworkerlifetimedelta", "maxrequestsdelta"), _JITTER),
    "workerreloadmercy": _MERCY,
    "recycling": "write recycle: {requests: 10000, age: 24h, memory: 500MiB}, with the limits that apply",
    **dict.fromkeys(("log", "logs", "logger", "logging", "loglevel", "logconfig", "logconfigdict"), _LOGGING),
    **dict.fromkeys(("logconfigjson", "errorlog", "logfile", "logto", "syslog", "captureoutput", "verbose"), _LOGGING),
    **dict.fromkeys(("loggerclass", "disablelogging", "quiet", "logstdout"), _LOGGING),
    **dict.fromkeys(("livez", "readyz", "readiness", "liveness"), _HEALTH),
    **dict.fromkeys(("hooks", "onstarting", "onreload", "whenready", "prefork", "postfork", "beforefork"), _HOOKS),
    **dict.fromkeys(("postworkerinit", "workerint", "workerabort", "preexec", "prerequest", "postrequest"), _HOOKS),
    **dict.fromkeys(("onexit", "workerexit", "childexit", "onworkerboot", "onworkershutdown"), _HOOKS),
    **dict.fromkeys(("rootpath", "scriptname", "urlprefix", "prefix", "mountpoint", "basepath"), _PREFIX),
    **dict.fromkeys(("mount", "mounts", "routes", "location", "locations", "upstream", "upstreams"), _ROUTES),
    **dict.fromkeys(("daemon", "daemonize", "background", "detach", "restart", "supervisor"), _FOREGROUND),
    **dict.fromkeys(("server", "servers", "service", "services", "poolctl", "topology", "config", "settings"), ONE),
    **dict.fromkeys(("onstart", "onstartup", "onstop", "onshutdown", "onready", "lifecycle"), _HOOKS),
    **dict.fromkeys(("staticpathmount", "staticpathroute", "staticmap", "staticfiles", "staticdir"), _STATIC),
    "staticpathexpires": "set it for all files of app static: app: {static: PATH, cache: max-age=86400}",
    **dict.fromkeys(("cors", "corsorigins", "alloworigins", "allowedorigins", "corsalloworigins"), _CORS),
    **dict.fromkeys(("respawnfailedworkers", "respawninterval", "respawn", "restartpolicy", "maxrestarts"), _RESPAWN),
    **dict.fromkeys(("nice", "niceness", "ionice", "priority", "oomscoreadjust", "limitnofile", "nofile"), _PRIORITY),
    **dict.fromkeys(("ulimit", "ulimits", "rlimits", "workerrlimitnofile", "limitas"), _PRIORITY),
    **dict.fromkeys(("resources", "memory", "cpus", "cpu", "memlimit", "cpuquota", "memorymax"), _PRIORITY),
    **dict.fromkeys(("image", "build", "container", "containers", "volumes", "volumemounts", "entrypoint"), _CONTAINER),
    **dict.fromkeys(("networks", "dependson", "deploy", "labels", "metadata", "spec", "selector"), _CONTAINER),
    **dict.fromkeys(("template", "secrets", "configs", "imagepullpolicy", "securitycontext"), _CONTAINER),
    **dict.fromkeys(("ports", "expose", "containerport"), _PORTS),
    **dict.fromkeys(("livenessprobe", "readinessprobe", "startupprobe"), _HEALTH),
    **dict.fromkeys(("http", "events"), _NGINX),
    **dict.fromkeys(("proxypass", "proxy", "fastcgipass", "uwsgipass"), _PROXY),
    **dict.fromkeys(
        ("servername", "servernames", "virtualhost", "allowedhosts"),
        "poolctl answers for every host name: restrict them in the app (ALLOWED_HOSTS of Django) or in the proxy",
    ),
    **dict.fromkeys(("master", "mastername"), _MASTER),
    **dict.fromkeys(
        ("vacuum", "sendfile", "tcpnodelay", "enablethreads", "singleinterpreter", "needapp", "dieonterm", "lazyapps"),
        "poolctl always does this, or has another way of doing it: leave it out",
    ),
    "runtimethreads": (
        "these are threads of granian's Rust runtime, which poolctl does not have; for threads that run the app, use"
        " pool: {threads: 4}"
    ),
    "runtimemode": "poolctl has no Rust runtime with a mode: leave it out",
    "taskimpl": "there is nothing to choose: leave it out",
    **dict.fromkeys(
        ("cpuaffinity", "affinitycpu", "pin", "pinning", "numa"),
        "poolctl does not pin processes to cores; use CPUAffinity= of systemd for a whole service",
    ),
    **dict.fromkeys(
        ("gzip", "compress", "compression", "brotli"),
        "poolctl does not compress: let the app or the proxy do it, or set precompressed: true for app static, which"
        " then sends .gz files",
    ),
    **dict.fromkeys(
        ("http3", "quic", "quicbind", "h3"), "poolctl speaks HTTP/1.1 and HTTP/2, not HTTP/3: let a proxy do that"
    ),
    **dict.fromkeys(
        ("factory", "appfactory", "createapp"),
        "call the factory in a module of its own, app = create_app(), and name that application",
    ),
    **dict.fromkeys(
        ("virtualenv", "venv", "home", "pyhome", "python"),
        "the app runs with the Python that runs poolctl: install both in one virtual environment",
    ),
    **dict.fromkeys(
        ("include", "includes", "extends", "import", "imports"),
        "a file cannot include another: overlay it on the command line with -f OTHER",
    ),
    **dict.fromkeys(
        ("envfile", "dotenv"),
        "poolctl does not read such files: let the service manager do it (EnvironmentFile= of systemd)",
    ),
    **dict.fromkeys(("version", "apiversion"), "topologies have no version: leave it out"),
    **dict.fromkeys(("plugin", "plugins"), "name a plugin where it is used: dispatch: ./FILE.py:CLASS"),
    **dict.fromkeys(("loop", "eventloop", "uvloop"), "leave it out: uvloop is used where it is installed"),
    **dict.fromkeys(
        ("ws", "websocket", "websockets"),
        "leave it out: WebSocket is part of protocol http and always on for ASGI apps",
    ),
    **dict.fromkeys(
        ("web", "command", "cmd", "exec", "execstart", "run"),
        "poolctl does not start commands: name the application to serve, app: {wsgi: MODULE:CALLABLE}",
    ),
    **dict.fromkeys(
        ("min", "minsize", "minworkers", "max", "maxsize", "maxworkers", "cheaper", "spareworkers", "autoscale"),
        "write pool: {kind: process, size: {min: 2, max: 8}} for a pool that grows and shrinks",
    ),
    "body": "limit its size with protocol: {body: ...}, and its time with timeouts: {body: ...}",
    "head": "limit its size with protocol: {head: ...}, and its time with timeouts: {head: ...}",
    "concurrency": (
        "set it for one worker with app: {asgi: MODULE:CALLABLE, concurrency: 50}, and the number of workers with"
        " pool: {size: 8}"
    ),
    "interface": "write app: {wsgi: MODULE:CALLABLE}, or app: {asgi: MODULE:CALLABLE}",
    "use": "put it inside the mapping of a component: dispatch: {use: random}",
    "workertmpdir": "poolctl needs no such folder: leave it out",
    **dict.fromkeys(("checkconfig", "dryrun"), "use poolctl validate instead"),
    "printconfig": "use poolctl config instead",
    "workerclass": "",  # depends on its value: _worker_class
}

# Short options of gunicorn, uvicorn, granian and hypercorn. -p has more than one meaning.
LETTERS = {
    "b": "bind",
    "c": "config",
    "D": "daemon",
    "e": "env",
    "g": "group",
    "k": "worker-class",
    "m": "umask",
    "n": "name",
    "q": "quiet",
    "t": "timeout",
    "u": "user",
    "v": "verbose",
    "V": "version",
    "w": "workers",
}
PORT, PID = "port", "pid"  # the meaning of -p before a number, and before a file

# Options that take no value.
SWITCHES = {
    *("accesslog", "forwarded", "h2", "http2", "lazyapps", "logrequests", "preload", "preloadapp", "proxyheaders"),
    *("proxyprotocol", "reuseport", "wspermessagedeflate"),
}

# Options that mean something else than the key of the same name.
OPTIONS = {
    "reload": _RELOAD,
    "config": "name the topology without an option, poolctl run FILE; poolctl init writes one",
    "http": "leave it out: poolctl has its own HTTP parser",
    "app": "name the app without an option: poolctl run MODULE:CALLABLE",
    "version": "write poolctl --version",
}

# Keys that mean something else in a mapping than at the top level.
INSIDE = {
    ("limits", "body"): "protocol.body",
    ("limits", "head"): "protocol.head",
    ("limits", "header"): "protocol.headers",
    ("limits", "headers"): "protocol.headers",
    ("limits", "requests"): "limits.waiting",
    ("limits", "time"): "timeouts.request",
    ("limits", "timeout"): "timeouts.request",
    ("timeouts", "read"): "timeouts.body",
    ("timeouts", "response"): "timeouts.request",
    ("timeouts", "shutdown"): "timeouts.drain",
    ("timeouts", "stop"): "timeouts.drain",
    ("timeouts", "graceful"): "timeouts.drain",
    ("timeouts", "send"): "timeouts.write",
    ("access_log", "file"): "access_log.to",
    ("access_log", "path"): "access_log.to",
    ("forwarded", "trusted"): "forwarded.trust",
    ("forwarded", "proxies"): "forwarded.trust",
    ("forwarded", "from"): "forwarded.trust",
    ("listen", "user"): "listen.owner",
    ("listen", "permissions"): "listen.mode",
    ("listen", "certificate"): "listen.tls.certificate",
    ("listen", "key"): "listen.tls.key",
    ("pool", "count"): "pool.size",
    ("pool", "type"): "pool.kind",
    ("pool", "number"): "pool.size",
}

WORKER_CLASSES = {
    "gevent": "poolctl has no green threads: use pool: {threads: 16}, OS threads for requests that wait",
    "eventlet": "poolctl has no green threads: use pool: {threads: 16}, OS threads for requests that wait",
    "tornado": "poolctl does not serve Tornado apps: use a WSGI or an ASGI app",
}

THREADS_OF_CLASS = {"gthread": 4, "gevent": 16, "eventlet": 16}  # where nothing else gives the number

# Sections that people copy whole, and a remark on each besides its keys.
SECTIONS = {
    "uwsgi": (
        "poolctl speaks HTTP, while uWSGI's socket speaks its own protocol: use proxy_pass in nginx, not uwsgi_pass"
    ),
    "gunicorn": "",
    "uvicorn": "",
    "granian": "",
    "hypercorn": "",
    "waitress": "",
    "puma": "",
    "unicorn": "",
}
NGINX = frozenset(
    ("location", "locations", "server_name", "root", "proxy_pass", "upstream", "index", "server", "include")
)  # keys of nginx blocks

# Words of other servers for a component, by axis.
WORDS = {
    "app": {
        **dict.fromkeys(("flask", "django", "bottle", "pyramid", "falcon"), "{wsgi: MODULE:CALLABLE}"),
        **dict.fromkeys(("fastapi", "starlette", "quart", "litestar", "sanic", "uvicorn"), "{asgi: MODULE:CALLABLE}"),
        "gunicorn": "{wsgi: MODULE:CALLABLE}",
        "files": "{static: ./public}",
    },
    "pool": {
        **dict.fromkeys(
            ("prefork", "pre-fork", "preforked", "pre-forked", "fork", "sync", "multiprocessing", "forked", "worker"),
            "process",
        ),
        **dict.fromkeys(
            ("prethread", "pre-thread", "prethreaded", "gthread", "threading", "threadpool", "thread-pool"), "thread"
        ),
        "none": "iterative",
        "single": "iterative",
    },
    "ownership": {"so-reuseport": "reuse-port", "reuseport": "reuse-port", "accept-mutex": "leader/followers"},
    "dispatch": {
        "least-connections": "least-loaded",
        "least-conn": "least-loaded",
        "leastconn": "least-loaded",
        "least-busy": "least-loaded",
        "rr": "round-robin",
        "p2c": "power-of-choices",
        "fifo": "shared-queue",
        "queue": "shared-queue",
        "hash": "kernel-hash",
    },
    "affinity": {"sticky": "client", "ip": "client", "ip-hash": "client", "session": "client", "none": "request"},
    "protocol": {"http1": "http", "http/1.1": "http", "http/1.0": "http", "tcp": "raw", "line": "lines"},
}
# Words that need an explanation.
_PREFORK = (
    "use pool: process for processes that are forked before clients connect; ownership is about the connections: for"
    " processes that each accept their own, as in Apache and gunicorn, use ownership: leader/followers"
)
_PRETHREAD = (
    "use pool: thread for threads that are started before clients connect; ownership is about the connections: for"
    " threads that each accept their own, use ownership: leader/followers"
)
WORD_ANSWERS = {
    **{("ownership", word): _PREFORK for word in ("prefork", "pre-fork", "preforked", "pre-forked", "process")},
    **{("ownership", word): _PRETHREAD for word in ("prethread", "pre-thread", "prethreaded", "thread", "gthread")},
    ("protocol", "https"): "write protocol: http, and set tls at the address: listen: {at: ..., tls: ...}",
    ("protocol", "http2"): "write protocol: {use: http, http2: true}",
    ("protocol", "h2"): "write protocol: {use: http, http2: true}",
    ("protocol", "http/2"): "write protocol: {use: http, http2: true}",
    ("protocol", "websocket"): "WebSocket is part of protocol http: write protocol: http",
    ("protocol", "ws"): "WebSocket is part of protocol http: write protocol: http",
    ("protocol", "http3"): "poolctl speaks HTTP/1.1 and HTTP/2, not HTTP/3: write protocol: http",
    ("dispatch", "ip-hash"): "affinity keeps a client with its worker: write affinity: client",
    ("dispatch", "sticky"): "affinity keeps a client with its worker: write affinity: client",
    ("pool", "gevent"): WORKER_CLASSES["gevent"],
    ("pool", "eventlet"): WORKER_CLASSES["eventlet"],
    ("pool", "async"): "an async app needs no pool of its own: write app: {asgi: MODULE:CALLABLE}",
    ("pool", "asyncio"): "an async app needs no pool of its own: write app: {asgi: MODULE:CALLABLE}",
}
