"""Load, faults and misuse, for ratchet and beside it pyzmq: `python -m torture --help`."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))  # for the harness
