"""Whether Locust's pods can do what is asked of them: `python -m signoff.load.asked REPORTS --rate 10 -t 1m`.

A process of its own, since Locust changes the one that it is imported into. Prints what is wrong, and ends with 2 where
Locust says so, with 4 where this suite does. REPORTS is the folder of this machine to which the records go.
"""

import sys
from collections.abc import Sequence

from locust.argument_parser import get_parser
from locust.util.load_locustfile import load_locustfile

from signoff.core.errors import REFUSED, UsageError
from signoff.core.paths import BENCH

_NOT_IN_PODS = {
    "headless": "the master has a page, from which the records are collected",
    "worker": "`signoff load` starts the workers: --workers 3, before --",
    "master": "`signoff load` starts the master",
    "processes": "each worker is a pod of its own: --workers 3, before --",
    "locustfile": "the pods run bench/locustfile.py",
    "web_port": "the page is at the port that the Service has",
    "lengths": "the pods do not have the file: give --lengths before --",
    "kubeconfig": "the pods are watched from here anyway",
    "reports": "give --reports before --: it is a folder of this machine",
}
"""Options that make no sense in a pod, and why."""


def main(reports: str, *asked: str) -> int:
    """Look at what is asked."""
    # bench/ looks at the command line as it declares its options.
    sys.argv = ["locust", f"--reports={reports}", "--autostart", *asked]
    try:
        _check(asked)
    except UsageError as error:
        print(f"signoff: {error}", file=sys.stderr)
        return REFUSED
    return 0


def _check(asked: Sequence[str]) -> None:
    users = load_locustfile(str(BENCH / "locustfile.py"))[0]
    try:
        parser = get_parser(default_config_files=[])
        chosen = parser.parse_args(asked)
    except SystemExit as end:
        if end.code:
            raise
        raise _refused("an option there only prints something and sends no load", "ask `locust` itself") from end
    for name, why in _NOT_IN_PODS.items():
        if getattr(chosen, name) != parser.get_default(name):
            raise _refused(f"--{name.replace('_', '-')} cannot be given to Locust's pods", why)
    if unknown := [each for each in chosen.user_classes if each not in users]:
        known = f"available: {', '.join(sorted(users))}"
        raise _refused(f"there is no user class {', '.join(unknown)}", known)


def _refused(what: str, hint: str) -> UsageError:
    return UsageError(what, where="the options after --, for Locust", hint=hint)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
