#!/usr/bin/env python3
"""The programs of the image by the names under which pods call them: docker-entrypoint.sh, postgres, psql, pg_isready.

The first follows that of the official image (https://github.com/docker-library/postgres): its variables, what it
refuses, and the scripts of /docker-entrypoint-initdb.d. One thing differs. There a client on the same machine needs no
password, and here every client is on the same machine: all have to give it, but for those at the socket.
"""

import ctypes
import gzip
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

_PROGRAMS = Path(sys.prefix) / "opt" / "bin"
_ASKS_ONLY = {"-?", "--help", "-V", "--version", "-C", "--describe-config"}
_LOCALHOST = re.compile(r"(?P<option>-h|--host=)?(?:localhost|127\.0\.0\.1)")
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


def main() -> int:
    """Do what the program does that has been called."""
    name, words = Path(sys.argv[0]).name, sys.argv[1:]
    if name == "docker-entrypoint.sh":
        return _entrypoint(words)
    if name == "postgres":
        return _serve(words)
    return _ask(name, words)


def _entrypoint(words: list[str]) -> int:
    """Make the database where there is none, and become the program; options alone are the server's."""
    if not words or words[0].startswith("-"):
        words = ["postgres", *words]
    if words[0] == "postgres" and not _ASKS_ONLY & set(words):
        _refuse_root()
        _data().mkdir(parents=True, exist_ok=True)
        _data().chmod(0o700)  # a volume may be open to anybody, and the server refuses it then
        if (_data() / "PG_VERSION").exists():
            print("PostgreSQL Database directory appears to contain a database; Skipping initialization", flush=True)
        else:
            _make(words[1:])
            print("PostgreSQL init process complete; ready for start up.", flush=True)
    os.execvp(words[0], words)


def _serve(words: list[str]) -> int:
    """Run the server, at the pod's address alone, until it ends.

    SIGTERM would have it wait until all clients have gone; the image's STOPSIGNAL is SIGINT.
    """
    if not _ASKS_ONLY & set(words):
        _refuse_root()
        words = [*words, *_listening(os.environ["PG_LISTEN"])]
    running = subprocess.Popen([_PROGRAMS / "postgres", *words], preexec_fn=_die_with_this)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: running.send_signal(signal.SIGINT))
    return running.wait()


def _ask(name: str, words: list[str]) -> int:
    """Become the client, for which localhost is the pod: a process of this machine has no network of its own."""
    here = rf"\g<option>{os.environ['PG_LISTEN']}"
    words = [_LOCALHOST.sub(here, word) if _LOCALHOST.fullmatch(word) else word for word in words]
    os.execv(_PROGRAMS / name, [name, *words])


def _make(options: list[str]) -> None:
    """Make the database that the variables describe, and run the scripts on a server that nobody else reaches."""
    user, password = _variable("POSTGRES_USER") or "postgres", _variable("POSTGRES_PASSWORD")
    database, method = _variable("POSTGRES_DB") or user, os.environ.get("POSTGRES_HOST_AUTH_METHOD", "")
    if not password and method != "trust":
        sys.exit(
            "Error: Database is uninitialized and superuser password is not specified.\n"
            "       You must specify POSTGRES_PASSWORD to a non-empty value for the superuser."
        )
    os.environ |= {"POSTGRES_USER": user, "POSTGRES_DB": database}
    _initialize(user, password, method or "scram-sha-256")
    own = shlex.join([*options, *_listening("")])
    _run("pg_ctl", "-D", str(_data()), "-o", own, "-w", "start")
    try:
        psql = ["psql", "-v", "ON_ERROR_STOP=1", "-U", user, "--no-password", "--no-psqlrc"]
        if database != "postgres":
            _run(*psql, "-d", "postgres", "-v", f"db={database}", said='CREATE DATABASE :"db" ;\n')
        _run_scripts([*psql, "-d", database])
    finally:
        _run("pg_ctl", "-D", str(_data()), "-m", "fast", "-w", "stop")


def _initialize(user: str, password: str, method: str) -> None:
    with tempfile.NamedTemporaryFile("w", encoding="utf-8") as file:
        file.write(f"{password}\n")
        file.flush()
        known = [f"--pwfile={file.name}"] if password else []
        more = shlex.split(_variable("POSTGRES_INITDB_ARGS"))
        _run("initdb", f"--username={user}", f"--auth-host={method}", "--auth-local=trust", *known, *more, str(_data()))
    with (_data() / "pg_hba.conf").open("a", encoding="utf-8") as rules:
        rules.write(f"\nhost all all all {method}\n")


def _run_scripts(psql: list[str]) -> None:
    folder = Path(os.environ["PG_SCRIPTS"])
    found = sorted(each for each in folder.iterdir() if not each.name.startswith(".")) if folder.is_dir() else []
    for script in found:
        print(f"{sys.argv[0]}: running {script.name}", flush=True)
        if script.suffix == ".sh":
            subprocess.run(["bash", script], check=True)
        elif script.suffix == ".sql":
            _run(*psql, "-f", str(script))
        elif script.name.endswith(".sql.gz"):
            _run(*psql, said=gzip.decompress(script.read_bytes()).decode())
        else:
            print(f"{sys.argv[0]}: ignoring {script.name}", flush=True)


def _run(name: str, *words: str, said: str | None = None) -> None:
    """Run one of the image's programs; this one ends with its status where it fails."""
    done = subprocess.run([_PROGRAMS / name, *words], input=said, encoding="utf-8", check=False)
    if done.returncode:
        sys.exit(done.returncode)


def _variable(name: str) -> str:
    """A variable's value, or the content of the file that NAME_FILE names."""
    file = os.environ.get(f"{name}_FILE")
    if file and os.environ.get(name):
        sys.exit(f"error: both {name} and {name}_FILE are set (but are exclusive)")
    return Path(file).read_text(encoding="utf-8").rstrip("\n") if file else os.environ.get(name, "")


def _data() -> Path:
    return Path(os.environ["PGDATA"])


def _listening(address: str) -> list[str]:
    return ["-c", f"listen_addresses={address}", "-c", f"unix_socket_directories={os.environ['PGHOST']}"]


def _refuse_root() -> None:
    if os.geteuid() == 0:
        sys.exit(
            "PostgreSQL does not run as root, and containers have no users of their own on this machine.\n"
            "Run the suite as another user, or on kind."
        )


def _die_with_this() -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)


if __name__ == "__main__":
    raise SystemExit(main())
