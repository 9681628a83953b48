"""The files of the package."""

from pathlib import Path

import optsuite

ROOT = Path(optsuite.__file__).parent
FILES = sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")
