"""Whatever a valid topology needs from the host, the result is findings with locations, never an exception."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from harness.forms import drawn
from hypothesis import given
from hypothesis import strategies as st

from poolctl.assembly.environment import findings
from poolctl.assembly.judging.judge import judge
from poolctl.config.codes import CODES
from poolctl.config.diagnostic import Invalid
from poolctl.config.sources import Inputs

HOSTS = ["127.0.0.1", "0.0.0.0", "[::1]", "[::]", "localhost", "a" * 64, "ü" * 40, ".", "a..b", "[::ffff:127.0.0.1]"]
NAMES = ["nobody", "root", "0", "4711", "no-such-account", "4294967294", "a b"]
PATHS = [
    "/none/x",
    "/",
    "/dev/null",
    "/tmp",
    "x",
    "../x",
    "a" * 300,
    "/" + "a/" * 30 + "x",
    "é\n",
    " ",
    "/proc/self/mem",
    ".",
]

addresses = st.one_of(
    st.builds("tcp://{}:{}".format, st.sampled_from(HOSTS), st.sampled_from([0, 1, 65535])),
    st.builds("unix://{}".format, st.sampled_from([path for path in PATHS if path.startswith("/")])),
    st.sampled_from(["systemd", "systemd://web"]),
    st.builds("fd://{}".format, st.sampled_from([3, 9, 1023, 999999])),
)
paths, names = st.sampled_from(PATHS), st.sampled_from(NAMES)
tls = st.fixed_dictionaries({"certificate": paths}, optional={"key": paths, "password_file": paths, "ciphers": names})
entries = st.fixed_dictionaries({"at": addresses}, optional={"tls": tls})
topologies = st.fixed_dictionaries(
    {"app": st.just("demo"), "listen": st.lists(entries, min_size=1, max_size=3)},
    optional={
        "user": names,
        "group": names,
        "directory": paths,
        "pid_file": paths,
        "access_log": st.fixed_dictionaries({"to": paths}),
        "backlog": st.sampled_from([1, 65535]),
        "limits": st.fixed_dictionaries({"connections": st.sampled_from([1, 10_000_000])}),
    },
)


@drawn(75)
@given(topologies)
def test_any_host(tmp_path_factory: pytest.TempPathFactory, data: dict[str, Any]) -> None:
    file = Path(tmp_path_factory.getbasetemp()) / "any-host.yaml"
    file.write_text(json.dumps(data))
    try:
        judgement = judge(Inputs(str(file)))
    except Invalid:
        return
    if judgement.errors:
        return
    here, descriptors = os.getcwd(), len(os.listdir("/proc/self/fd"))
    for finding in findings(judgement, app=False):
        assert finding.code in CODES
        span = finding.place.span
        assert 0 <= span.column <= len(finding.place.source.line(span.line))
        assert finding.render()
    assert (os.getcwd(), len(os.listdir("/proc/self/fd"))) == (here, descriptors)
    assert not os.path.exists("/none")
