#!/usr/bin/env python3
"""As much of redis-cli as probes and hooks need: `redis-cli [-h HOST] [-p PORT] [-a PASSWORD] COMMAND ...`."""

import argparse
import os
import socket
import sys
from typing import BinaryIO

OF_THE_POD = ("", "localhost", "127.0.0.1")
SECONDS = 10.0


class Refused(Exception):
    """The server's answer is an error."""


def main() -> int:
    """Send the command and print the answer as redis-cli does where nobody watches."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("-h", dest="host", default="")
    parser.add_argument("-p", dest="port", type=int, default=6379)
    parser.add_argument("-a", "--pass", dest="password", default=os.environ.get("REDISCLI_AUTH", ""))
    parser.add_argument("--user", default="default")
    parser.add_argument("-n", dest="database", default="")
    parser.add_argument("--no-auth-warning", action="store_true")
    parser.add_argument("--raw", action="store_true")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    if not options.command:
        parser.error("a command is needed: here is no terminal")
    host = os.environ["REDIS_LISTEN"] if options.host in OF_THE_POD else options.host
    commands = [options.command]
    if options.database:
        commands.insert(0, ["SELECT", options.database])
    if options.password:
        commands.insert(0, ["AUTH", options.user, options.password])
    try:
        with socket.create_connection((host, options.port), SECONDS) as connection, connection.makefile("rb") as file:
            for command in commands:
                connection.sendall(request(command))
                answer = reply(file)
    except OSError as error:
        print(f"Could not connect to Redis at {host}:{options.port}: {error.strerror or error}", file=sys.stderr)
        return 1
    except Refused as error:
        print(error)
        return 0  # as redis-cli does
    print(answer)
    return 0


def request(words: list[str]) -> bytes:
    """The command in Redis' protocol: an array of strings."""
    parts = [word.encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


def reply(file: BinaryIO) -> str:
    """The answer as text, a line for each of its parts.

    Raises:
        Refused: it is an error.
        ConnectionError: there is none.
    """
    line = file.readline()
    if not line:
        raise ConnectionError("the server closed the connection")
    kind, rest = line[:1], line[1:].rstrip().decode(errors="replace")
    if kind == b"-":
        raise Refused(rest)
    if kind == b"$":
        return file.read(int(rest) + 2)[:-2].decode(errors="replace") if int(rest) >= 0 else ""
    if kind == b"*":
        return "\n".join(reply(file) for _ in range(int(rest)))
    return rest


if __name__ == "__main__":
    raise SystemExit(main())
