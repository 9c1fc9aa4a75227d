"""Datasette over one file."""

from __future__ import annotations

import os

from datasette.app import Datasette

application = Datasette([os.environ["CATALOGUE"]], settings={"sql_time_limit_ms": 10_000}).app()
