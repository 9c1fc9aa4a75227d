"""Entry point of ``python -m poolctl``."""

from __future__ import annotations

from poolctl.cli.entry import main

if __name__ == "__main__":
    main()
