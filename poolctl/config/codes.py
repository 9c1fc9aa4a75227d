"""The codes of findings: what each means, why it is a problem, an example and its fix.

The first digit gives the stage: 1 syntax, 2 schema, 3 what does not fit together, 4 the host, 5 what is valid but
unwise. The file is long because it is a table with an entry for each code.
"""

from __future__ import annotations

from typing import NamedTuple


class Code(NamedTuple):
    """The explanation of a code.

    ``example`` is a topology with the finding, and ``fixed`` the same without it; both are empty where a file cannot
    show it. ``command`` has the arguments of `poolctl validate` that the example needs. ``how`` says how to fix what a
    file cannot show.
    """

    title: str
    why: str
    example: str = ""
    fixed: str = ""
    command: str = ""
    how: str = ""


STAGES = {
    "1": "syntax: the text is not YAML, or is YAML that a topology must not use",
    "2": "schema: a key or a value that the language does not have",
    "3": "topology: each word is valid, but they do not fit together",
    "4": "environment: this host does not have what the topology needs",
    "5": "advice: it works, but is unwise",
}

CODES = {
    "PC100": Code(
        "the file cannot be read",
        "A path that does not exist, a folder, or a file that this user may not read.",
        how=(
            "Name a file that exists and that this user may read; `poolctl init` writes one, and - is standard input."
        ),
    ),
    "PC101": Code(
        "not valid YAML",
        "The parser could not read the text, so this part of the file was not checked. Usually a bracket or a quote is"
        " not closed, a key is not indented like its neighbours, a space is missing after a colon or a dash, or a value"
        " begins with a character that has a meaning in YAML and needs quotes.",
        "app: demo\nlisten: [tcp://127.0.0.1:8000\npool: thread\n",
        "app: demo\nlisten: [tcp://127.0.0.1:8000]\npool: thread\n",
    ),
    "PC102": Code(
        "not readable as text",
        "Topologies are UTF-8 without control characters. A byte or an escape that is not text would fail later, when"
        " it is passed to the kernel or written to a log. Characters that look like spaces or quotes, and invisible"
        " ones, are letters to YAML: they come with text that was copied from a web page.",
        'app: demo\npid_file: "/run/\\0shop.pid"\n',
        'app: demo\npid_file: "/run/shop.pid"\n',
    ),
    "PC103": Code(
        "the file is too large",
        "A topology takes a few lines. None is larger than 64 KiB: most likely the wrong file was named.",
        how="Name the topology; put long lists, of networks for instance, on a few lines, or in the proxy.",
    ),
    "PC104": Code(
        "a duplicate key",
        "YAML does not say which of the two counts, and most parsers silently take the last one.",
        "app: demo\npool: thread\npool: process\n",
        "app: demo\npool: process\n",
    ),
    "PC105": Code(
        "a tag that topologies do not have",
        "Tags create values of other types, in some parsers any object at all. A topology has strings, numbers, true"
        " and false, null, lists and mappings.",
        "app: demo\nbacklog: !!int many\n",
        "app: demo\nbacklog: 512\n",
    ),
    "PC106": Code(
        "more than one document in the file",
        "A line of three dashes begins a second document, but a topology is a single document.",
        "app: demo\n---\napp: echo\n",
        "app: demo\n",
    ),
    "PC107": Code(
        "an alias that contains itself",
        "The value would be endless.",
        "app: demo\nx-a: &a {b: *a}\n",
        "app: demo\nx-a: &a {b: 1}\n",
    ),
    "PC108": Code(
        "too many values, or too deeply nested",
        "A few hundred bytes of aliases can expand to millions of values. A topology has at most 3,000 values as"
        " written, 10,000 with all aliases expanded, and 64 levels.",
        "app: demo\nbacklog: 99999999999999999999999999999999999999999\n",
        "app: demo\nbacklog: 9999\n",
    ),
    "PC109": Code(
        "a key that is not a plain string, or a merge key",
        "Keys are names. The merge key is part of YAML 1.1, but not of 1.2; an alias can only stand for a whole value.",
        "x-pool: &pool {kind: thread}\napp: demo\npool: {<<: *pool, size: 4}\n",
        "app: demo\npool: {kind: thread, size: 4}\n",
    ),
    "PC110": Code(
        "a --set that cannot be applied",
        "--set takes KEY=VALUE; dots in the key lead into mappings, and the value is YAML. A key cannot lead into a"
        " list, which can only be set as a whole.",
        "app: demo\nlisten: [tcp://127.0.0.1:8000]\n",
        command="--set listen.port=80",
    ),
    "PC111": Code(
        "a variable that is not set",
        "The file has ${NAME}, but there is no such environment variable. An empty string in its place would start a"
        " different server than the one that was meant.",
        "app: demo\nlisten: tcp://127.0.0.1:${NO_SUCH_PORT}\n",
        "app: demo\nlisten: tcp://127.0.0.1:${NO_SUCH_PORT:-8000}\n",
    ),
    "PC112": Code(
        "not a valid substitution of a variable",
        "The forms are ${NAME}, ${NAME:-default} and ${NAME:?message}. $$ is a dollar sign.",
        "app: demo\nname: ${NAME-shop}\n",
        "app: demo\nname: ${NAME:-shop}\n",
    ),
    "PC201": Code(
        "a value of the wrong shape",
        "A topology is a mapping, and a component is a name or a mapping with its name and options.",
        "app: demo\ndispatch: [random]\n",
        "app: demo\ndispatch: random\n",
    ),
    "PC202": Code(
        "a key is missing",
        "At the top level only app is required; some mappings have a key without a default.",
        "name: shop\n",
        "name: shop\napp: demo\n",
    ),
    "PC203": Code(
        "an unknown key",
        "Nothing in a file is ignored, so a key that is not part of the language is a mistake: a misspelling, a key in"
        " the wrong mapping, or a word of another server. Keys of your own begin with x-.",
        "app: demo\ntimeouts: {idel: 75s}\n",
        "app: demo\ntimeouts: {idle: 75s}\n",
    ),
    "PC204": Code(
        "a value that is not accepted",
        "The key is known, but its value has the wrong type, is out of bounds, or is not one of its words. Note that"
        " YAML 1.2 reads yes, no, on and off as strings.",
        "app: demo\npreload: yes\n",
        "app: demo\npreload: true\n",
    ),
    "PC205": Code(
        "an unknown word",
        "The axis has no component of that name.",
        "app: demo\ndispatch: roundrobin\n",
        "app: demo\ndispatch: round-robin\n",
    ),
    "PC206": Code(
        "not an address",
        "Addresses are tcp://HOST:PORT, unix:///PATH, systemd or fd://NUMBER. Whether a server listens on all"
        " interfaces or on one must be written out; it is not guessed.",
        "app: demo\nlisten: localhost:8000\n",
        "app: demo\nlisten: tcp://localhost:8000\n",
    ),
    "PC207": Code(
        "not available here",
        "The language has it, but not for this word: a pool of threads, for instance, does not grow and shrink.",
        "app: demo\npool: {kind: thread, size: {min: 2, max: 8}}\n",
        "app: demo\npool: {kind: process, size: {min: 2, max: 8}}\n",
    ),
    "PC208": Code(
        "an unknown plugin",
        "A plugin in a Python file is named as FILE:CLASS, with a path relative to the folder of the topology, or on"
        " the command line to the working directory. Other names that are not poolctl's own are looked up among the"
        " entry points of installed packages, where each must be unique.",
        "app: demo\ndispatch: {use: ./nowhere.py:Mine}\n",
        "app: demo\ndispatch: least-loaded\n",
    ),
    "PC209": Code(
        "the plugin cannot be used",
        "Its code was imported in a process of its own, and raised an exception, ended that process or took too long;"
        " or its class is not what the axis needs: a subclass of the one in poolctl.plugin, with all its methods, for"
        " this version of the interface.",
        how=(
            "The finding says what is missing, or has the traceback of the plugin's own code. `poolctl plugin "
            "check FILE:CLASS` checks a strategy against its contract, and `poolctl plugin new` writes one that passes."
        ),
    ),
    "PC301": Code(
        "does not fit together",
        "Each word is valid, but no server can be all of them at once. The message says why, and the help names the"
        " closest valid choice, which keeps as much as possible of what is in the file.",
        "app: demo\npool: thread\nownership: leader/followers\ndispatch: round-robin\n",
        "app: demo\npool: thread\nownership: leader/followers\ndispatch: leader\n",
    ),
    "PC302": Code(
        "a duplicate address",
        "The second socket could not be bound.",
        "app: demo\nlisten: [tcp://127.0.0.1:8000, tcp://127.0.0.1:8000]\n",
        "app: demo\nlisten: [tcp://127.0.0.1:8000, tcp://127.0.0.1:8001]\n",
    ),
    "PC401": Code(
        "an address in use",
        "Another process listens there. Its PID and command line are shown if this user may see them. If it is the same"
        " topology, this is only a note: validating before a change is normal.",
        how=(
            "Stop the other process (the finding has its PID), or listen on another port: --listen "
            "tcp://127.0.0.1:8001. Port 0 is any free port."
        ),
    ),
    "PC402": Code(
        "an address that this user may not bind",
        "Ports below 1024 need root or CAP_NET_BIND_SERVICE.",
        how=(
            "Choose a port from 1024 on, or let the service manager open it: listen: systemd. "
            "`setcap cap_net_bind_service` on the interpreter, or sysctl net.ipv4.ip_unprivileged_port_start, "
            "allow it for users other than root."
        ),
    ),
    "PC403": Code(
        "an address that this host does not have",
        "The name has no address here, or no interface of this host has the address.",
        how=(
            "`ip address` lists the addresses of this host. Use tcp://0.0.0.0:PORT for all of them, or "
            "tcp://[::]:PORT to include IPv6."
        ),
    ),
    "PC404": Code(
        "a unix socket that cannot be created",
        "Its folder is missing or not writable, or its path is taken by something else, which poolctl leaves alone.",
        how=(
            "Create the folder (RuntimeDirectory= of a systemd unit does), let the user of the topology write there,"
            " or choose another path."
        ),
    ),
    "PC405": Code(
        "a listening socket that was not passed",
        "fd://NUMBER is a socket that the parent process has opened, a service manager for instance. systemd and"
        " systemd://NAME are sockets of a systemd socket unit, which it passes with LISTEN_PID, LISTEN_FDS and"
        " LISTEN_FDNAMES. Outside of that process validate cannot check them, so it gives a note.",
        how=(
            "Start poolctl from the process that opens the socket. For systemd, poolctl export systemd --socket writes "
            "the socket unit. To run the file by hand, give it an address: --listen tcp://127.0.0.1:8000."
        ),
    ),
    "PC410": Code(
        "an app that cannot be used",
        "The module, the attribute, the program or the folder that the file names cannot be found or used, or the"
        " application itself reports that it cannot start. Modules are looked up first in the folder of the topology,"
        " or in its directory if it has one.",
        how=(
            "Name a module that can be imported from the folder of the topology, app: {wsgi: shop.wsgi:application}, "
            "or set directory to where it is. Name the application itself; call a factory in a module of its own."
        ),
    ),
    "PC411": Code(
        "an app that raises when it is imported",
        "The traceback below the finding comes from the app.",
        how=(
            'Start at the last line of the traceback, and try the import alone: python -c "import shop.wsgi". Install '
            "missing packages for the interpreter that runs poolctl."
        ),
    ),
    "PC412": Code(
        "an app that ends its process when it is imported",
        "Workers would exit in the same way, and be restarted again and again.",
        how=(
            "Look for sys.exit and os._exit at the top level of the module and of what it imports: the import must "
            "return. A signal means that an extension crashed, or that memory ran out."
        ),
    ),
    "PC413": Code(
        "an app that takes long to import",
        "The attempt was stopped after 30 s, and all that is known about the app is where it was waiting. Each worker"
        " takes as long, unless the topology has preload.",
        how=(
            "Move connecting and heavy loading to the first request, or give it a time limit of its own. "
            "preload: true imports the app once for all workers."
        ),
    ),
    "PC420": Code(
        "a user or group that cannot be switched to",
        "The account does not exist, or only root may switch to it.",
        how="Create the account (useradd --system shop), name another, or start as root, which may switch to any.",
    ),
    "PC421": Code(
        "a working directory that cannot be entered",
        "It does not exist, or the user of the topology may not enter it.",
        how="Create the folder, or let the user of the topology enter it: chmod o+x for each folder of its path.",
    ),
    "PC422": Code(
        "a PID file that cannot be written",
        "Its folder is missing or not writable, or its path is taken by another file. If that belongs to a running"
        " poolctl, this is only a note.",
        how="Create the folder, or leave pid_file out: systemd and `poolctl status` do not need one.",
    ),
    "PC423": Code(
        "an access log that cannot be opened",
        "Its folder is missing, or the user of the topology may not write there.",
        how=(
            "Create the folder and let the user of the topology write there, or write to stdout and let the service"
            " manager keep it."
        ),
    ),
    "PC424": Code(
        "a file for TLS that cannot be read",
        "It is the file of a certificate, key, password or authority.",
        how="Name files that the user who starts poolctl may read; paths are relative to the topology's folder.",
    ),
    "PC425": Code(
        "a certificate that cannot be used",
        "The key belongs to another certificate, the password does not open it, a file is not PEM, or OpenSSL does not"
        " know one of the ciphers.",
        how=(
            "Put the certificate first in its file, then its chain, and name the key of the first one. openssl x509 "
            "-noout -pubkey -in CERTIFICATE and openssl pkey -pubout -in KEY print the same for a matching pair."
        ),
    ),
    "PC426": Code(
        "a certificate that expires",
        "It has expired, or will expire within 14 days.",
        how="Renew it, and have the server read it: poolctl reload.",
    ),
    "PC427": Code(
        "a variable that is set too late",
        "The interpreter and the dynamic loader read it when a process starts, but the processes of the server are"
        " forked from one that is already running. Only programs that the app starts are affected by it.",
        how="Set it where poolctl is started: Environment= of a systemd unit, ENV of a container, the shell.",
    ),
    "PC428": Code(
        "no directory for temporary files",
        "Large request bodies, and large responses to slow clients, go to temporary files. If no directory is writable"
        " they stay in memory, up to the same limits, and the app's own use of tempfile fails.",
        how=(
            "Mount a tmpfs for them (--tmpfs of docker run, an emptyDir of Kubernetes), or name a directory that the"
            " file's user may write: environment: {TMPDIR: /var/lib/shop}."
        ),
    ),
    "PC429": Code(
        "a Python that the user cannot read",
        "The user of the topology cannot enter a folder on the way to the standard library or to installed packages,"
        " for instance because Python is installed in another user's home. Imports work until the processes switch to"
        " that user; later ones, perhaps during a request, fail.",
        how=(
            "Install poolctl and the app in a Python that this user can read: /usr/bin/python3 -m venv /opt/shop, then"
            " /opt/shop/bin/pip install. Do not open root's home to everybody."
        ),
    ),
    "PC430": Code(
        "fewer descriptors than connections",
        "Each connection takes one descriptor, or three with TLS. At the limit of the process accept(2) fails and"
        " clients wait. It is an error if not even the channels to the workers can be opened.",
        how="Raise the limit (LimitNOFILE= of a systemd unit, ulimit -n of a shell), or lower limits.connections.",
    ),
    "PC431": Code(
        "a backlog that the kernel reduces",
        "listen(2) silently takes at most net.core.somaxconn.",
        how="Raise the limit, sysctl -w net.core.somaxconn=NUMBER, or choose a smaller backlog.",
    ),
    "PC432": Code(
        "a kernel that cannot choose the socket",
        "Under reuse-port the kernel spreads connections over the workers' sockets, by its own hash or by a program"
        " that it is given. Systems other than Linux, and some sandboxes, do not accept a program"
        " (SO_ATTACH_REUSEPORT_CBPF).",
        how=(
            "Choose another dispatch of reuse-port (kernel-hash needs no program), or ownership half-sync/half-async."
        ),
    ),
    "PC433": Code(
        "a variable that names something missing",
        "The value of a variable in environment is a time zone, a folder or a file that this machine does not have."
        " The C library then falls back to UTC, and Python skips the folder, both silently.",
        how="Correct the value. Time zones are the names below /usr/share/zoneinfo, from the package tzdata.",
    ),
    "PC501": Code(
        "a pool that answers one request at a time",
        "While one request is slow, all others wait, including health checks.",
        "app: demo\npool: {kind: process, size: 1}\n",
        "app: demo\npool: {kind: process, size: 1, threads: 8}\n",
    ),
    "PC502": Code(
        "an affinity that sends all clients to one worker",
        "Affinity client keeps an address with one worker. Behind a proxy or a unix socket all clients have the same"
        " address.",
        "app: demo\npool: {size: 4}\naffinity: client\nlisten: unix:///run/shop.sock\n",
        "app: demo\npool: {size: 4}\naffinity: request\nlisten: unix:///run/shop.sock\n",
    ),
    "PC503": Code(
        "a choice that has no effect with one worker",
        "Dispatch and affinity choose between workers.",
        "app: demo\npool: {size: 1, threads: 8}\ndispatch: least-loaded\n",
        "app: demo\npool: {size: 4, threads: 8}\ndispatch: least-loaded\n",
    ),
    "PC504": Code(
        "more threads than connections",
        "Each connection has one request at a time, so threads beyond limits.connections never get work.",
        "app: demo\npool: {kind: thread, size: 64}\nlimits: {connections: 50}\n",
        "app: demo\npool: {kind: thread, size: 32}\nlimits: {connections: 50}\n",
    ),
    "PC505": Code(
        "a drain that is shorter than a request",
        "A server that stops drains for timeouts.drain, and then cuts off what is still in flight. Requests that take"
        " longer are lost at every deployment.",
        "app: demo\ntimeouts: {request: 60s, drain: 10s}\n",
        "app: demo\ntimeouts: {request: 60s, drain: 60s}\n",
    ),
    "PC506": Code(
        "a variable without braces, which is not substituted",
        "Only ${NAME} is substituted, so that a password may contain a dollar sign. A name in capitals after a bare"
        " dollar sign looks like a variable.",
        "app: demo\nenvironment: {CACHE: $HOME/cache}\n",
        'app: demo\nenvironment: {CACHE: "$$HOME/cache"}\n',
    ),
    "PC507": Code(
        "clients that may claim any address",
        "A trusted proxy may name any client in a header. A network that contains every address lets every client"
        " choose its address in logs, limits and the app.",
        "app: demo\nforwarded: {trust: 0.0.0.0/0}\n",
        "app: demo\nforwarded: {trust: 10.0.0.0/8}\n",
    ),
    "PC508": Code(
        "a password in the file",
        "Topologies are read by many people and kept in version control.",
        "app: demo\nlisten: {at: tcp://127.0.0.1:8443, tls: {certificate: shop.pem, password: secret}}\n",
        "app: demo\nlisten: {at: tcp://127.0.0.1:8443, tls: {certificate: shop.pem, password_file: tls.txt}}\n",
    ),
    "PC509": Code(
        "more workers than cores under dispatch cpu",
        "Dispatch cpu chooses the worker by the core on which a connection arrives, so with more workers than cores"
        " some never get one.",
        "app: demo\npool: {kind: process, size: 4096}\nownership: reuse-port\ndispatch: cpu\n",
        "app: demo\npool: {kind: process, size: auto}\nownership: reuse-port\ndispatch: cpu\n",
    ),
    "PC510": Code(
        "a queue that loads workers unevenly",
        "Under half-sync/half-async a worker keeps the connections that it takes. The workers that ask first take most"
        " of them from a shared queue, and serve all their requests until they close.",
        "app: demo\npool: {size: 4}\nownership: half-sync/half-async\ndispatch: shared-queue\n",
        "app: demo\npool: {size: 4}\nownership: half-sync/half-async\ndispatch: least-loaded\n",
    ),
    "PC511": Code(
        "a dispatch that an affinity overrides",
        "A strategy that looks at what requests ask for has to choose for each of them. With an affinity it chooses"
        " once for each connection, client or session, and later requests follow the first one: a strategy that sends"
        " each path to a worker of its own sends a whole connection there.",
        how="Choose affinity request, or a dispatch that does not look at requests, such as least-loaded.",
    ),
}
