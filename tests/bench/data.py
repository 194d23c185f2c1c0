"""Where `make bench` keeps things. Read before the settings of the tests take the environment."""

import os
from pathlib import Path

DATA = Path(os.environ.get("REFRACT_DATA", "var")).resolve()
