"""`signoff`: what a person or another program may ask of the suite outside pytest."""

import argparse
import atexit
import gc
import io
import os
import select
import signal
import sys
from importlib import import_module
from importlib.metadata import version

from signoff.core import interrupts
from signoff.core.errors import REFUSED, SignoffError, UsageError, told
from signoff.core.waiting import WaitFailed

COMMANDS = {
    "init": "signoff.commands.init",
    "run": "signoff.commands.run",
    "serve": "signoff.commands.serve",
    "prepare": "signoff.commands.prepare",
    "report": "signoff.commands.report",
    "verify": "signoff.commands.verify",
    "parity": "signoff.commands.parity",
    "calibrate": "signoff.commands.calibrate",
    "load": "signoff.commands.load",
    "load-report": "signoff.commands.load_report",
    "cluster": "signoff.commands.cluster",
    "restore": "signoff.commands.restore",
    "settings": "signoff.commands.settings",
}
"""The module of each command; some take seconds to import, so only the one that is asked for is."""
_READER_GONE = 128 + signal.SIGPIPE


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the process's exit status."""
    interrupts.heed()
    atexit.register(gc.freeze)  # what is imported need not be looked through for garbage once more when all ends
    _print_anything()
    argv = sys.argv[1:] if argv is None else argv
    try:
        try:
            return _run(argv)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        if not _reader_has_gone():
            raise
        return _READER_GONE


def _run(argv: list[str]) -> int:
    try:
        options = _parser(argv[0] if argv else "").parse_args(argv)
        return int(options.run(options))
    except (SignoffError, WaitFailed) as error:
        print(f"signoff: {told(error)}", file=sys.stderr)
        return REFUSED if isinstance(error, UsageError) else 1
    except KeyboardInterrupt as interrupt:
        for what_failed_after_it in getattr(interrupt, "__notes__", ()):
            print(f"signoff: {what_failed_after_it}", file=sys.stderr)
        return interrupts.exit_status()


def _print_anything() -> None:
    """Let no letter that the locale lacks end the program: a folder and a story may have any."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.encoding == "ascii":
            stream.reconfigure(encoding="utf-8", errors="surrogateescape")
        elif isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")


def _reader_has_gone() -> bool:
    """Whether nobody reads our output any more, as after `| head`; what is still to be written then goes nowhere."""
    output = select.poll()
    output.register(sys.stdout, 0)
    if not output.poll(0):
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return True


def _parser(asked: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="signoff",
        description="Is this LLM gateway, on this cluster, faithful, fast and safe enough to sign off?",
        epilog="The acceptance run itself is `pytest features/`, outside a checkout `signoff run`; load is `locust -f "
        "bench/`. Exit status: 4 if what was asked for cannot be done, and nothing was started or written (2 if the "
        "command line cannot be read); 1 if it was done and failed.",
    )
    parser.add_argument("--version", action="version", version=f"signoff {version('signoff')}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for module in [COMMANDS[asked]] if asked in COMMANDS else COMMANDS.values():
        import_module(module).add_to(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
