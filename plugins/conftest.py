"""Makes the modules of all plugins importable for their tests, as an installation would."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path += [str(folder) for folder in Path(__file__).parent.iterdir() if (folder / "pyproject.toml").exists()]
