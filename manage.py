#!/usr/bin/env python
"""Run Refract's commands: python manage.py COMMAND."""

import os
import sys
from pathlib import Path


def main() -> None:
    # `platform/` is a source root, not a package: the standard library's `platform` must win.
    sys.path.append(str(Path(__file__).parent / "platform"))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
