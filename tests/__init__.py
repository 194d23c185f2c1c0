"""Tests, and the servers they start."""

import sys
from pathlib import Path

# A source root, which nothing but pytest would have found by now.
sys.path.append(str(Path(__file__).parents[1] / "platform"))
