#!/usr/bin/env python3
"""What the image starts: options alone are the server's, as in the official image's docker-entrypoint.sh."""

import os
import sys
from pathlib import Path

SERVER = next(name for name in ("redis-server", "valkey-server") if (Path(__file__).parent / name).exists())


def main() -> None:
    """Become the program."""
    words = sys.argv[1:]
    if not words or words[0].startswith("-") or words[0].endswith(".conf"):
        words = [SERVER, *words]
    os.execvp(words[0], words)


if __name__ == "__main__":
    main()
