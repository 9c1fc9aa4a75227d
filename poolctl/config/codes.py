"""Every code of a finding: what it means, why it is one, an example and its fix.

The hundreds say the stage: 1 syntax, 2 schema, 3 what does not fit together, 4 the host, 5 what is legal but unwise.
Long, for it is a table: an entry for each code.
"""

from __future__ import annotations

from typing import NamedTuple


class Code(NamedTuple):
    """``example`` is a topology that has the finding, ``fixed`` the same without it; empty where a file cannot show
    it. ``command``: the arguments of `poolctl validate` that the example needs. ``how``: how to fix what no file
    shows."""

    title: str
    why: str
    example: str = ""
    fixed: str = ""
    command: str = ""
    how: str = ""


STAGES = {
    "1": "syntax: the text is not YAML, or YAML that a topology must not use",
    "2": "schema: a key or a value that the language does not have",
    "3": "topology: each word is right, but they do not fit together",
    "4": "environment: this host does not have what the topology asks for",
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
        "The parser could not read the text, so nothing below this place was checked. Most often a bracket or a quote"
        " is not closed, a key is indented unlike its neighbours, a space is missing after a colon or a dash, or a"
        " value begins with a sign that means something in YAML and needs quotes.",
        "app: demo\nlisten: [tcp://127.0.0.1:8000\npool: thread\n",
        "app: demo\nlisten: [tcp://127.0.0.1:8000]\npool: thread\n",
    ),
    "PC102": Code(
        "not readable as text",
        "Topologies are UTF-8 without control characters. A byte or an escape that is not text would fail later, where"
        " it is passed to the kernel or written to a log. Characters that look like spaces or quotes, or like nothing"
        " at all, are letters to YAML: they come with text that was copied from a page.",
        'app: demo\npid_file: "/run/\\0shop.pid"\n',
        'app: demo\npid_file: "/run/shop.pid"\n',
    ),
    "PC103": Code(
        "the file is too large",
        "A topology takes a few lines. 64 KiB is more than any of them: most likely another file was named.",
        how="Name the topology; long lists, of networks for instance, go into a few lines, or into the proxy.",
    ),
    "PC104": Code(
        "a duplicate key",
        "YAML leaves open which of the two counts, and most parsers silently take the last one.",
        "app: demo\npool: thread\npool: process\n",
        "app: demo\npool: process\n",
    ),
    "PC105": Code(
        "a tag that topologies do not have",
        "Tags make values of other types, in some parsers any object at all. A topology has texts, numbers, true and"
        " false, null, lists and mappings.",
        "app: demo\nbacklog: !!int many\n",
        "app: demo\nbacklog: 512\n",
    ),
    "PC106": Code(
        "more than one document in the file",
        "A line of three dashes begins a second document, and a topology is one.",
        "app: demo\n---\napp: echo\n",
        "app: demo\n",
    ),
    "PC107": Code(
        "an alias that contains itself",
        "The value would have no end.",
        "app: demo\nx-a: &a {b: *a}\n",
        "app: demo\nx-a: &a {b: 1}\n",
    ),
    "PC108": Code(
        "too many values, or too deeply nested",
        "A few hundred bytes of aliases can stand for millions of values. With all aliases written out a topology has"
        " at most 10,000 values, as it is written 3,000, and 64 levels.",
        "app: demo\nbacklog: 99999999999999999999999999999999999999999\n",
        "app: demo\nbacklog: 9999\n",
    ),
    "PC109": Code(
        "a key that is not plain text, or a merge key",
        "Keys are names. The merge key belongs to YAML 1.1, and 1.2 has dropped it; an anchor can be a whole value.",
        "x-pool: &pool {kind: thread}\napp: demo\npool: {<<: *pool, size: 4}\n",
        "app: demo\npool: {kind: thread, size: 4}\n",
    ),
    "PC110": Code(
        "a --set that cannot be applied",
        "--set takes KEY=VALUE, dots lead into mappings, and the value is YAML. No key leads into a list, which"
        " can only be set as a whole.",
        "app: demo\nlisten: [tcp://127.0.0.1:8000]\n",
        command="--set listen.port=80",
    ),
    "PC111": Code(
        "a variable that is not set",
        "The file says ${NAME}, and the environment has no such variable. An empty text in its place would start a"
        " server other than the one that was meant.",
        "app: demo\nlisten: tcp://127.0.0.1:${NO_SUCH_PORT}\n",
        "app: demo\nlisten: tcp://127.0.0.1:${NO_SUCH_PORT:-8000}\n",
    ),
    "PC112": Code(
        "not a substitution of a variable",
        "The forms are ${NAME}, ${NAME:-default} and ${NAME:?message}. Two dollars stand for one.",
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
        "At the top only app is required; some mappings have a key without a default.",
        "name: shop\n",
        "name: shop\napp: demo\n",
    ),
    "PC203": Code(
        "an unknown key",
        "Nothing in a file is ignored, so a key that is not of the language is a mistake: a misspelling, a key in the"
        " wrong mapping, or the word of another server. Keys of your own begin with x-.",
        "app: demo\ntimeouts: {idel: 75s}\n",
        "app: demo\ntimeouts: {idle: 75s}\n",
    ),
    "PC204": Code(
        "a value that is not accepted",
        "The key is known, and its value is of another type, out of its bounds or not one of its words. Note that YAML"
        " 1.2 reads yes, no, on and off as texts.",
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
        "Addresses are tcp://HOST:PORT, unix:///PATH or fd://NUMBER. Whether a server listens on all interfaces or on"
        " one is written, not guessed.",
        "app: demo\nlisten: localhost:8000\n",
        "app: demo\nlisten: tcp://localhost:8000\n",
    ),
    "PC207": Code(
        "not available yet",
        "The language has it, and this version cannot do it.",
        "app: demo\npool: {size: {min: 2, max: 8}}\n",
        "app: demo\npool: {size: 8}\n",
    ),
    "PC208": Code(
        "an unknown plugin",
        "A value that names a Python file stands for a class in it, FILE:CLASS, and the path counts from the folder of"
        " the topology that names it; on the command line from the working directory. Other names that are not"
        " poolctl's own are looked up among the entry points of installed packages, where each may occur once.",
        "app: demo\ndispatch: {use: ./nowhere.py:Mine}\n",
        "app: demo\ndispatch: least-loaded\n",
    ),
    "PC209": Code(
        "the plugin cannot be used",
        "Its code was imported in a process of its own, and raised, ended that process or took too long; or its class"
        " is not what the axis needs: a subclass of the one in poolctl.plugin, with all its methods, for this version"
        " of the interface.",
        how=(
            "The finding says what is missing, or has the traceback of the plugin's own code. `poolctl plugin "
            "check FILE:CLASS` checks a strategy against its contract, and `poolctl plugin new` writes one that passes."
        ),
    ),
    "PC301": Code(
        "does not fit together",
        "Each word is right, but no server can be all of them at once. The message says why, and the help names the"
        " closest valid choice: it keeps as much as possible of what the file says.",
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
        "Another process listens there. Its PID and command line are shown where this user may see them. Where the same"
        " topology is already running this is a note: it is what you validate before a change.",
        how=(
            "Stop the other process (the finding has its PID), or listen on another port: --listen "
            "tcp://127.0.0.1:8001. Port 0 is any free one."
        ),
    ),
    "PC402": Code(
        "an address that this user may not have",
        "Ports below 1024 need root or CAP_NET_BIND_SERVICE.",
        how=(
            "Choose a port from 1024 on, or let the service manager open it: systemd passes a socket, fd://3. "
            "`setcap cap_net_bind_service` on the interpreter, or sysctl net.ipv4.ip_unprivileged_port_start, "
            "allow it to other users than root."
        ),
    ),
    "PC403": Code(
        "an address that this host does not have",
        "The name has no address here, or no interface of this host has the address.",
        how=(
            "`ip address` lists the addresses of this host. All of them are tcp://0.0.0.0:PORT, and with IPv6 "
            "tcp://[::]:PORT."
        ),
    ),
    "PC404": Code(
        "a unix socket that cannot be made",
        "Its folder is missing or not writable, or its path is taken by something else, which poolctl leaves alone.",
        how=(
            "Create the folder (RuntimeDirectory= of a systemd unit does), let the user of the topology write there,"
            " or choose another path."
        ),
    ),
    "PC405": Code(
        "a descriptor that is no listening socket",
        "fd://NUMBER is a socket that the parent process has opened, a service manager for instance.",
        how="Start poolctl from what opens the socket: a systemd socket unit passes the first one as 3.",
    ),
    "PC410": Code(
        "an app that cannot be used",
        "The module, the attribute, the program or the folder that the file names cannot be found or used. Modules are"
        " looked up in the folder of the topology first, or in its directory where it has one. Or the application"
        " says itself that it cannot start.",
        how=(
            "Name a module that can be imported from the folder of the topology, or set directory to where it is: app: "
            "{wsgi: shop.wsgi:application}. Name the application itself; call a factory in a module of its own."
        ),
    ),
    "PC411": Code(
        "an app that raises when it is imported",
        "The traceback below the finding comes from the app.",
        how=(
            'Start at the last line of the traceback, and try it alone: python -c "import shop.wsgi". What is '
            "missing must be installed for the interpreter that runs poolctl."
        ),
    ),
    "PC412": Code(
        "an app that ends its process when it is imported",
        "Workers would end the same way, and be restarted again and again.",
        how=(
            "Look for sys.exit and os._exit at the top level of the module and of what it imports: it must "
            "return. A signal says that an extension crashed, or that memory ran out."
        ),
    ),
    "PC413": Code(
        "an app that takes long to import",
        "The attempt was stopped after 30 s, and all that is known of the app is where it waited. Each worker takes as"
        " long, unless the topology says preload.",
        how=(
            "Move what connects or loads a lot into the first request, or under a time limit of its own. "
            "preload: true imports once for all workers."
        ),
    ),
    "PC420": Code(
        "a user or group that cannot be taken",
        "The account does not exist, or only root may switch to it.",
        how="Create the account (useradd --system shop), name another, or start as root, which may switch to any.",
    ),
    "PC421": Code(
        "a working directory that cannot be entered",
        "It does not exist, or the user of the topology may not enter it.",
        how="Create the folder, or let the user of the topology enter it: chmod o+x for each folder on the way.",
    ),
    "PC422": Code(
        "a PID file that cannot be written",
        "Its folder is missing or not writable, or its path is taken by another file. When that belongs to a running"
        " poolctl, this is a note.",
        how="Create the folder, or leave pid_file out: systemd and `poolctl status` need none.",
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
        "a file of TLS that cannot be read",
        "A certificate, key, password or authority.",
        how="Name files that the user who starts poolctl may read; paths count from the topology's folder.",
    ),
    "PC425": Code(
        "a certificate that cannot be used",
        "The key belongs to another certificate, the password does not open it, a file is not PEM, or OpenSSL does not"
        " know one of the ciphers.",
        how=(
            "The certificate comes first in its file, then its chain; the key is that of the first. openssl x509 "
            "-noout -pubkey -in CERTIFICATE and openssl pkey -pubout -in KEY print the same for a pair."
        ),
    ),
    "PC426": Code(
        "a certificate that expires",
        "It has expired, or will expire within 14 days.",
        how="Renew it, and restart the server, which reads certificates when it starts.",
    ),
    "PC427": Code(
        "a variable that is set too late",
        "The interpreter and the loader of libraries read it when a process starts, and the processes of the server are"
        " forked from one that runs already. Only programs that the app starts will find it.",
        how="Set it where poolctl is started: Environment= of a systemd unit, ENV of a container, the shell.",
    ),
    "PC428": Code(
        "no directory for temporary files",
        "Bodies of requests, and answers that wait for slow clients, go to temporary files when they are large. Where"
        " no directory takes any they are kept in memory, up to the same limits, and the app's own use of tempfile"
        " fails.",
        how=(
            "Mount a tmpfs for them (--tmpfs of docker run, an emptyDir of Kubernetes), or name a directory that the"
            " file's user may write: environment: {TMPDIR: /var/lib/shop}."
        ),
    ),
    "PC429": Code(
        "a Python that the user cannot read",
        "The user of the topology cannot enter a folder on the way to the standard library or to installed packages,"
        " because Python is installed in the home of another user, for instance. What is imported before the processes"
        " become that user works, and what is imported later, perhaps within a request, does not.",
        how=(
            "Install poolctl and the app for a Python that this user can read: /usr/bin/python3 -m venv /opt/shop, then"
            " /opt/shop/bin/pip install. Do not open the home of root to everybody."
        ),
    ),
    "PC430": Code(
        "fewer descriptors than connections",
        "Each connection takes one descriptor, with TLS three. At the limit of the process accept(2) fails and clients"
        " wait. It is an error where not even the channels of the workers can be opened.",
        how="Raise the limit (LimitNOFILE= of a systemd unit, ulimit -n of a shell), or lower limits.connections.",
    ),
    "PC431": Code(
        "a backlog that the kernel reduces",
        "listen(2) silently takes at most net.core.somaxconn.",
        how="sysctl -w net.core.somaxconn=NUMBER, or a smaller backlog.",
    ),
    "PC432": Code(
        "a kernel that cannot choose the socket",
        "Under reuse-port the kernel spreads connections over the workers' sockets, by its own hash or by a program"
        " that it is given. Other systems than Linux, and some sandboxes, take no program (SO_ATTACH_REUSEPORT_CBPF).",
        how=(
            "Choose another dispatch of reuse-port (kernel-hash needs no program), or ownership half-sync/half-async."
        ),
    ),
    "PC433": Code(
        "a variable that names nothing",
        "The value of a variable in environment is a time zone, a folder or a file that this machine does not have."
        " The C library then takes UTC, Python passes over the folder, and neither says so.",
        how="Correct the value. Time zones are the names below /usr/share/zoneinfo, of the package tzdata.",
    ),
    "PC501": Code(
        "a pool that answers one request at a time",
        "While one request is slow all others wait, health checks too.",
        "app: demo\npool: {kind: process, size: 1}\n",
        "app: demo\npool: {kind: process, size: 1, threads: 8}\n",
    ),
    "PC502": Code(
        "an affinity that sends all clients to one worker",
        "Affinity client keeps an address with one worker. Behind a proxy or a unix socket all clients have the same.",
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
        "Each connection has one request at a time, so threads beyond limits.connections never have work.",
        "app: demo\npool: {kind: thread, size: 64}\nlimits: {connections: 50}\n",
        "app: demo\npool: {kind: thread, size: 32}\nlimits: {connections: 50}\n",
    ),
    "PC505": Code(
        "a drain that is shorter than a request",
        "A server that stops drains for timeouts.drain, and then cuts off what is still in flight. Requests that may"
        " take longer are lost at every deployment.",
        "app: demo\ntimeouts: {request: 60s, drain: 10s}\n",
        "app: demo\ntimeouts: {request: 60s, drain: 60s}\n",
    ),
    "PC506": Code(
        "a variable without braces, which is text",
        "Only ${NAME} is substituted, so that a password may have a dollar. A name in capitals after a bare dollar"
        " looks as if a variable was meant.",
        "app: demo\nenvironment: {CACHE: $HOME/cache}\n",
        'app: demo\nenvironment: {CACHE: "$$HOME/cache"}\n',
    ),
    "PC507": Code(
        "clients that may claim any address",
        "A trusted proxy may name any client in a header. A network that has every address in it lets every client"
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
        "Dispatch cpu chooses the worker by the core on which a connection came in, so with more workers than cores"
        " some never get one.",
        "app: demo\npool: {kind: process, size: 4096}\nownership: reuse-port\ndispatch: cpu\n",
        "app: demo\npool: {kind: process, size: auto}\nownership: reuse-port\ndispatch: cpu\n",
    ),
    "PC510": Code(
        "a queue that loads workers unevenly",
        "Under half-sync/half-async a worker keeps the connections that it takes. The workers that ask first take most"
        " of them from a shared queue, and serve their requests for as long as they live.",
        "app: demo\npool: {size: 4}\nownership: half-sync/half-async\ndispatch: shared-queue\n",
        "app: demo\npool: {size: 4}\nownership: half-sync/half-async\ndispatch: least-loaded\n",
    ),
    "PC511": Code(
        "a dispatch that an affinity overrides",
        "A strategy that looks at what requests ask for needs to be asked for each of them. With an affinity it is"
        " asked once for each key, a connection, a client or a session, and what follows goes where the first request"
        " went: a strategy that sends each path to a worker of its own sends a whole connection there.",
        how="Choose affinity request, or a dispatch that does not look at requests, such as least-loaded.",
    ),
}
