"""Load on LiteLLM, with sparse pairs of probes of both arms beside it.

    locust -f bench/                                                    Locust's page, at http://localhost:8089
    locust -f bench/ --headless -t 1m --rate 10                         10 requests per second, on a schedule
    locust -f bench/ --headless --shape sweep-rate --stages 2,5,10,20   up to where LiteLLM no longer keeps up
    locust -f bench/ --headless -t 1m --processes 2 DirectStreamed      vLLM alone, from two processes

A kept cluster is found, or the deployment of the settings started; --host and --direct point at one that is there
already. Raw records, samples.csv and the evidence of the load go to a folder of their own under reports/.
"""

import json
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from locust import User, events, task
from locust.argument_parser import LocustArgumentParser
from locust.exception import StopTest
from locust.runners import WorkerRunner

from signoff import story
from signoff.core import interrupts
from signoff.core.errors import REFUSED, UsageError, refusing
from signoff.in_cluster.load_generator import files, options
from signoff.in_cluster.load_generator.request_sender import RequestSender
from signoff.in_cluster.load_generator.run import ResourceSampler
from signoff.in_cluster.load_generator.session import LoadSession
from signoff.traffic import keys

if TYPE_CHECKING:
    from signoff.load.under_load import UnderLoad
    from signoff.traffic.pairs import Arm

FOREVER = 1e9
ONLY_IF_CHOSEN = 1e-6
"""A weight: such users are there when no other class was chosen."""


class Deployment:
    """Where both arms are; a deployment that was started for the load ends with it."""

    def __init__(self) -> None:
        self._serving: subprocess.Popen[str] | None = None
        self.evidence: Path | None = None
        """The folder with the evidence of a deployment that was started."""

    def find_or_start(self, reports: str) -> dict[str, Any]:
        """Start the deployment of the settings and wait until both arms answer; gives what `signoff serve` tells.

        Its evidence goes to a folder of its own among the reports.
        """
        interrupts.heed()  # Locust handles SIGTERM only once its load begins
        self._serving = subprocess.Popen(
            [sys.executable, "-m", "signoff.cli", "serve", "--reports", reports],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,  # a Ctrl-C is for Locust, which then ends this
        )
        assert self._serving.stdout is not None
        try:
            line = self._serving.stdout.readline()
        except KeyboardInterrupt:
            self.close()
            sys.exit(interrupts.exit_status())
        if not line:
            print("the deployment could not be started; the reason is above", file=sys.stderr)
            sys.exit(REFUSED if self._serving.wait() == REFUSED else 1)
        found = dict(json.loads(line))
        self.evidence = Path(found["evidence"])
        return found

    def close(self) -> None:
        """End what was started."""
        if self._serving is not None and self._serving.stdin is not None:
            self._serving.stdin.close()
            self._serving.wait()
            self._serving = None


DEPLOYMENT = Deployment()
PARSERS: list[LocustArgumentParser] = []
"""The first is that of the command line; for its page Locust makes more."""
SETTLED: dict[str, str] = {}
"""Options that were left out and are known by now, for Locust's page: it would send its own defaults back."""
LOADS: list[LoadSession] = []
"""The one load of this process, once Locust has started."""


@events.init_command_line_parser.add_listener
def declare(parser: LocustArgumentParser) -> None:
    """What can be set; what is set wrongly is refused before Locust starts a process, a page or a load."""
    options.declare(parser)
    PARSERS.append(parser)
    if len(PARSERS) == 1:
        with _refusing():
            _check(parser)
    parser.set_defaults(**SETTLED)


def _check(parser: LocustArgumentParser) -> None:
    chosen, _ = parser.parse_known_args()
    if chosen.worker:
        return  # its master has checked them
    options.check(chosen, options.given(parser))
    under_load = _under_load()
    if under_load and not chosen.reports:
        under_load.check_reports()
    if under_load and chosen.kubeconfig:
        from signoff.load.resource_sampler import check_kubeconfig

        with refusing():
            check_kubeconfig(Path(chosen.kubeconfig), under_load.watched.values())


@contextmanager
def _refusing() -> Iterator[None]:
    """End Locust with what this block finds wrong with what was asked for."""
    try:
        yield
    except UsageError as error:
        print(f"signoff: {error}", file=sys.stderr)
        DEPLOYMENT.close()
        sys.exit(REFUSED)


@cache
def _under_load() -> "UnderLoad | None":
    """What the settings say of what is under load; None in a pod of Locust's image: whoever made it knows.

    Raises:
        UsageError: a setting is wrong.
    """
    try:
        from signoff.load.under_load import UnderLoad
    except ModuleNotFoundError as missing:
        if not str(missing.name).startswith("signoff."):
            raise  # of an installation that is damaged
        return None
    return UnderLoad.here()


@events.init.add_listener
def begin(environment: Any, web_ui: Any, **_: Any) -> None:
    """Have a deployment before the clock of --run-time starts."""
    if not isinstance(environment.runner, WorkerRunner):
        with _refusing():
            _prepare(environment)
    load = LoadSession(environment, Probe.__name__, _sampler)
    if load.writer:
        load.writer.deployment = DEPLOYMENT.evidence
        if under_load := _under_load():
            load.writer.settings = under_load.recorded(deployed=DEPLOYMENT.evidence is not None)
    LOADS.append(load)
    if web_ui and load.writer:
        writer = load.writer
        files.serve(web_ui.app, lambda: writer.folder, lambda: writer.ended, lambda: load.unwritable)


@events.quitting.add_listener
def end(**_: Any) -> None:
    """End the deployment that was started for this load."""
    DEPLOYMENT.close()


def _check_key(*, needed: bool, given: bool) -> None:
    """See that LiteLLM's key is there, if it asks for one: what was started does not hand it on."""
    if needed and not given:
        print(f"signoff: LiteLLM asks for a key\n  next:  set {keys.GATEWAY} to it", file=sys.stderr)
        DEPLOYMENT.close()
        sys.exit(REFUSED)


def _prepare(environment: Any) -> None:
    chosen, under_load = environment.parsed_options, _under_load()
    chosen.reports = chosen.reports or (str(under_load.settings.reports) if under_load else "reports")
    environment.host = environment.host or chosen.proxied
    if not environment.host:
        found = DEPLOYMENT.find_or_start(chosen.reports)
        environment.host, chosen.kubeconfig = found["proxied"], found["kubeconfig"]
        _check_key(needed=bool(found["key"]), given=chosen.api_key != keys.NO_KEY)
        chosen.direct = chosen.direct or found["direct"]
        chosen.model, chosen.direct_model = chosen.model or found["model"], chosen.direct_model or found["direct_model"]
    elif not chosen.model:
        chosen.model = under_load.asked_model if under_load else story.MODEL
        chosen.direct_model = chosen.direct_model or (under_load.settings.model if under_load else "")
    SETTLED.update(model=chosen.model, direct_model=chosen.direct_model)
    chosen.host = environment.host
    if not chosen.direct:
        logging.getLogger(__name__).warning("no direct arm, so no probes: --direct names vLLM's own URL")
        for without in (Probe, DirectStreamed, DirectWhole):
            environment.available_user_classes.pop(without.__name__, None)
            if without in environment.user_classes:
                environment.user_classes.remove(without)
    options.settle(environment, Probe.fixed_count if Probe in environment.user_classes else 0)


def _sampler(chosen: Any, note: Callable[[str], None]) -> ResourceSampler | None:
    """What looks at the pods meanwhile; None in a pod of Locust's image, where whoever deployed it does."""
    under_load = _under_load()
    return under_load.sampler(chosen, note) if under_load else None


def _sender() -> RequestSender:
    sender = LOADS[0].sender
    if sender is None:
        raise StopTest
    return sender


class ChatUser(User):
    """Asks one arm for chat completions: again and again, or on the schedule that all of them share."""

    abstract = True
    arm: "Arm"
    stream: bool

    def on_start(self) -> None:
        """Take part."""
        _sender().joined(self)

    def on_stop(self) -> None:
        """Take part no longer."""
        if LOADS[0].sender is not None:
            LOADS[0].sender.left(self)

    def wait_time(self) -> float:
        """The pause after an answer; for ever where a schedule says when to ask."""
        return FOREVER if _sender().open_loop else _sender().pause()

    @task
    def chat(self) -> None:
        """One completion, unless the schedule asks."""
        if not _sender().open_loop:
            _sender().ask(self)


class Streamed(ChatUser):
    """Streamed, through LiteLLM."""

    arm, stream = "proxied", True


class Whole(ChatUser):
    """Not streamed, through LiteLLM."""

    arm, stream = "proxied", False


class DirectStreamed(ChatUser):
    """Streamed, from vLLM itself; only if no other class is chosen."""

    arm, stream = "direct", True
    weight = ONLY_IF_CHOSEN


class DirectWhole(ChatUser):
    """Not streamed, from vLLM itself; only if no other class is chosen."""

    arm, stream = "direct", False
    weight = ONLY_IF_CHOSEN


class Probe(User):
    """Asks both arms the like, in random order, now and then: what the overhead is under this load."""

    fixed_count = 1

    def wait_time(self) -> float:
        """Random, so that probes do not fall into step with the load."""
        return _sender().pause_between_pairs()

    @task
    def pair(self) -> None:
        """One request to each arm."""
        _sender().probe(self)
