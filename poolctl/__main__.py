"""Entry point of ``python -m poolctl``."""

from __future__ import annotations

from poolctl.cli.main import main

if __name__ == "__main__":
    main()
