"""MyPart in a server."""

from pathlib import Path
from urllib.request import urlopen

import my_part
from poolctl.testing import running

SHOP = """
def warm_up():
    with open("warm", "a") as file:
        file.write("warm")
"""


def test_each_worker_calls_the_function_before_it_serves(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(SHOP)
    ownership = {"use": f"{my_part.__file__}:MyPart", "before": "shop:warm_up"}
    topology = {"app": "demo", "pool": {"kind": "process", "size": 2}, "ownership": ownership}
    with running(topology, tmp_path) as server:
        assert (tmp_path / "warm").read_text() == "warmwarm"
        assert urlopen(f"http://127.0.0.1:{server.port}/").status == 200
