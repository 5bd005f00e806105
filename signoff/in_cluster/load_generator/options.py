"""What a load can be asked for on Locust's command line and in its page, and what follows from that."""

import math
import sys
from argparse import Namespace, _ArgumentGroup
from collections.abc import Collection
from pathlib import Path
from typing import Any

from locust.argument_parser import LocustArgumentParser

from signoff.core.errors import SignoffError, refusing
from signoff.core.paths import check_reports
from signoff.in_cluster.load_generator import rollup, shapes, stages, workload
from signoff.in_cluster.load_generator.workload import Workload
from signoff.traffic import keys
from signoff.traffic.keys import Keys

USERS = 4
THINK_SECONDS = 0.1
STOP_SECONDS = 10.0
MIN_KEPT = 1000
STAGE_SECONDS = 30.0

_OTHER_NAMES = {"num_users": "users"}
_ABOVE_0 = {
    "num_users": f"leave it out for {USERS}",
    "rate": "name requests per second, as in --rate 10, or leave it out for a closed loop",
    "stage_seconds": f"leave it out for {STAGE_SECONDS:g}",
    "probe_every": "leave it out for 0.5; a load of other user classes than Probe has no probes",
    "length_scale": f"leave it out for {workload.SCALE}; 1 is as published",
    "max_prompt_tokens": f"leave it out for {workload.MAX_PROMPT}",
    "max_answer_tokens": f"leave it out for {workload.MAX_ANSWER}",
}
"""What to do instead about options whose value is not above 0."""


def declare(parser: LocustArgumentParser) -> None:
    """Add the options; those that make sense while Locust runs are in its page too."""
    parser.set_defaults(stop_timeout=STOP_SECONDS, class_picker=True)
    where = parser.add_argument_group("signoff: where both arms are (default: a deployment is found or started)")
    _add(where, "--proxied", env_var="SIGNOFF_PROXIED", default="", metavar="URL", help="LiteLLM; the same as --host")
    _add(where, "--direct", env_var="SIGNOFF_DIRECT", default="", metavar="URL", help="vLLM itself, for the probes")
    _add(where, "--kubeconfig", default="", metavar="FILE", help="of the cluster whose pods are watched meanwhile")
    for option, variable, whose in (("--api-key", keys.GATEWAY, "LiteLLM"), ("--vllm-key", keys.BACKEND, "vLLM")):
        told = f"for {whose}; taken from the variable alone, since everybody on the machine can read a command line"
        _add(where, option, env_var=variable, default=keys.NO_KEY, metavar="KEY", help=told)
    _add(where, "--model", page=True, default="", help="the model to ask LiteLLM for (that of the settings)")
    _add(where, "--direct-model", page=True, default="", metavar="MODEL", help="the model to ask vLLM for (the same)")

    when = parser.add_argument_group("signoff: when requests are sent")
    _add(
        when,
        "--arrivals",
        page=True,
        choices=["closed", "poisson", "constant"],
        default="closed",
        help="closed: each user asks again after an answer. poisson, constant: requests are sent on a schedule, "
        "whatever the answers do; a user in the page then stands for 1 request per second",
    )
    _add(when, "--rate", type=float, help="requests per second on a schedule (poisson unless constant)")
    _add(
        when,
        "--shape",
        choices=["steady", *stages.NAMES],
        default="steady",
        help="steady: until -t. ramp: ten stages up to --users or --rate. spike: three stages, the second five times "
        "the others. sweep-users, sweep-rate: the --stages, to find where the proxy no longer keeps up",
    )
    _add(when, "--stages", default="", metavar="1,2,4", help="users or requests per second of each stage of a shape")
    _add(when, "--stage-seconds", type=float, metavar="SECONDS", help=f"how long a stage takes ({STAGE_SECONDS:g})")
    _add(
        when,
        "--think",
        type=float,
        metavar="SECONDS",
        help="a user's mean pause after an answer (0.1; in sweep-users 0, so that users are requests in flight)",
    )
    _add(
        when,
        "--probe-every",
        page=True,
        type=float,
        default=0.5,
        metavar="SECONDS",
        help="mean pause between two pairs of probes",
    )

    what = parser.add_argument_group("signoff: what is asked")
    _add(
        what,
        "--lengths",
        default="",
        metavar="FILE",
        help="CSV with the columns prompt_tokens,answer_tokens, in place of the published distribution",
    )
    _add(
        what,
        "--length-scale",
        page=True,
        type=float,
        default=workload.SCALE,
        help="of the published lengths; 0.25 fits the tests' tiny model, 1 is as published",
    )
    _add(what, "--max-prompt-tokens", page=True, type=int, default=workload.MAX_PROMPT, help="longer prompts are cut")
    _add(what, "--max-answer-tokens", page=True, type=int, default=workload.MAX_ANSWER, help="longer answers are cut")
    _add(what, "--seed", page=True, type=int, default=14, help="of prompts, lengths, arrivals and pairs")
    _add(
        what,
        "--keep-records",
        type=int,
        default=rollup.KEEP,
        metavar="N",
        help=f"records that are kept ({rollup.KEEP}); what is older becomes a line for each minute",
    )
    _add(what, "--reports", default="", metavar="DIR", help="where to write the run's folder (that of the settings)")


def _add(group: _ArgumentGroup, name: str, *, page: bool = False, **more: Any) -> None:
    action = group.add_argument(name, **more)
    # A group takes no `include_in_web_ui` of its own, as the parser does.
    action.include_in_web_ui = page  # type: ignore[attr-defined]


def workload_of(options: Any) -> Workload:
    """The lengths that the options ask for.

    Raises:
        SignoffError: the file of lengths cannot be used.
    """
    most = options.max_prompt_tokens, options.max_answer_tokens
    return Workload.read(Path(options.lengths), *most) if options.lengths else Workload(options.length_scale, *most)


def settle(environment: Any, probes: int) -> None:
    """Fill in what follows from the options, which `check` has found sensible, and offer the shapes.

    Locust counts the probes' users with the others, so they are added to its number of users.
    """
    options = environment.parsed_options
    if options.stage_seconds is None:
        options.stage_seconds = STAGE_SECONDS
    workers = max(1, options.expect_workers)
    if options.arrivals == "closed" and (options.rate or options.shape == "sweep-rate"):
        options.arrivals = "poisson"
    target = options.rate or float(options.num_users or USERS)
    options.steady_rate_per_user = stages.rate_per_user([options.rate], workers) if options.rate else 1.0
    options.rate_per_user = options.steady_rate_per_user
    made = {name: _shape(name, options, target, workers, probes) for name in stages.NAMES}
    environment.available_shape_classes = {type(each).__name__: each for each in made.values()}
    environment.shape_class = made.get(options.shape)
    if environment.shape_class is not None:
        environment.shape_class.runner = environment.runner
    options.num_users = round(target / options.rate_per_user if options.rate else target) + probes
    options.spawn_rate = options.spawn_rate or min(shapes.MAX_STARTED_PER_SECOND, options.num_users)


def settle_start(environment: Any) -> None:
    """Bring the options in line with the shape that was chosen, also in the page, as a test starts."""
    options, shape = environment.parsed_options, environment.shape_class
    options.rate_per_user = options.steady_rate_per_user
    if shape is not None:
        options.rate_per_user = shape.rate_per_user or 1.0
        if shape.name == "sweep-rate" and options.arrivals == "closed":
            options.arrivals = "poisson"
        if shape.name == "sweep-users":
            options.arrivals = "closed"
    if options.think is None:
        options.think_seconds = 0.0 if shape is not None and shape.name == "sweep-users" else THINK_SECONDS
    else:
        options.think_seconds = options.think


def _shape(name: stages.ShapeName, options: Any, target: float, workers: int, probes: int) -> shapes.Stages:
    wanted = stages.stages_of(name, target, stages.parse_stages(options.stages))
    on_schedule = name == "sweep-rate" or (name != "sweep-users" and options.arrivals != "closed")
    per_user = stages.rate_per_user(wanted, workers) if on_schedule else None
    users = [max(1, round(stage / (per_user or 1.0))) for stage in wanted]
    return shapes.shape(name, users, options.stage_seconds, probes, per_user)


def given(parser: LocustArgumentParser) -> set[str]:
    """The options that the command line, the environment or a file of Locust's sets."""
    nothing = object()
    names = [action.dest for action in parser._actions]
    found, _ = parser.parse_known_args(namespace=Namespace(**dict.fromkeys(names, nothing)))
    return {name for name in names if getattr(found, name) is not nothing}


def check(options: Any, given: Collection[str] = ()) -> None:
    """See that each option has a sensible value, that what they name can be read, and that records can be written.

    Those that are `given` must not contradict one another.

    Raises:
        UsageError: not so. Nothing was started or written.
    """
    keys.refuse_on_command_line(sys.argv[1:])
    Keys(options.api_key, options.vllm_key)
    with refusing():
        _check_numbers(options)
        _check_stages(options)
        for name in ("host", "proxied", "direct"):
            _check_url(name, getattr(options, name))
        workload_of(options)
        _check_contradictions(options, given)
    if options.reports:
        check_reports(Path(options.reports))


def _check_numbers(options: Any) -> None:
    for name, hint in _ABOVE_0.items():
        value = getattr(options, name)
        if value is not None and not 0 < value < math.inf:
            raise _wrong(name, value, "must be a number above 0", hint)
    if options.think is not None and not 0 <= options.think < math.inf:
        raise _wrong("think", options.think, "must be 0 or above", "0 has users ask again at once")
    if options.keep_records < MIN_KEPT:
        hint = f"leave it out for {rollup.KEEP}"
        raise _wrong("keep_records", options.keep_records, f"must be at least {MIN_KEPT}", hint)


def _check_stages(options: Any) -> None:
    """See that stages are some, and belong to a shape: in Locust's page one can still be chosen."""
    if options.stages and not stages.parse_stages(options.stages):
        raise SignoffError("--stages names no stage", where=f"--stages {options.stages}", hint=stages.HINT)
    if options.shape != "steady" or not (options.headless or options.autostart):
        return
    for name in ("stages", "stage_seconds"):
        if value := getattr(options, name):
            option = _option(name)
            raise SignoffError(
                f"{option} belongs to a shape, and a steady load has no stages",
                where=f"{option} {value}",
                hint=f"name a shape, such as --shape sweep-rate, or leave {option} out",
            )


def _check_contradictions(options: Any, given: Collection[str]) -> None:
    closed = "arrivals" in given and options.arrivals == "closed"
    on_schedule = "arrivals" in given and options.arrivals != "closed"
    there = options.host or options.proxied
    contradictions = (
        (
            options.host and options.proxied and options.host != options.proxied,
            "--host and --proxied both name LiteLLM, each another one",
        ),
        (closed and options.rate, "--rate sets a schedule; --arrivals closed has none"),
        (closed and options.shape == "sweep-rate", "--shape sweep-rate sets a schedule; --arrivals closed has none"),
        (
            options.shape == "sweep-users" and options.rate,
            "--shape sweep-users sets a closed loop; --rate sets a schedule",
        ),
        (options.rate and "num_users" in given, "--rate sets a schedule; --users sets a closed loop"),
        (options.rate and "think" in given, "--rate sets a schedule; --think sets the pause in a closed loop"),
        (
            options.shape == "sweep-users" and on_schedule,
            f"--shape sweep-users sets a closed loop; --arrivals {options.arrivals} sets a schedule",
        ),
        (
            options.lengths and "length_scale" in given,
            "--lengths gives the lengths themselves, and --length-scale shortens the published ones",
        ),
        (
            not there and "direct" in given,
            "--direct names one vLLM, and without --host the load has a deployment of its own",
        ),
        (
            not there and "kubeconfig" in given,
            "--kubeconfig names one cluster, and without --host the load has a deployment of its own",
        ),
    )
    if said := [text for contradicts, text in contradictions if contradicts]:
        raise SignoffError("; ".join(said), where=" ".join(sys.argv[1:]), hint="leave out one or the other")


def _check_url(name: str, url: str | None) -> None:
    if url and not url.startswith(("http://", "https://")):
        option = _option(name)
        where = f"{option} {url}" if name == "host" else f"{option} {url} (or SIGNOFF_{name.upper()})"
        raise SignoffError(f"{option} is no URL", where=where, hint=f"write it as in {option} http://127.0.0.1:8000")


def _wrong(name: str, value: float, wanted: str, hint: str) -> SignoffError:
    option = _option(name)
    return SignoffError(f"{option} {wanted}, and is {value:g}", where=f"{option} {value:g}", hint=hint)


def _option(name: str) -> str:
    return f"--{_OTHER_NAMES.get(name, name).replace('_', '-')}"


if __name__ == "__main__":
    alone = LocustArgumentParser(usage="locust -f bench/ [options] [UserClass ...]", add_help=False)
    declare(alone)
    alone.print_help()
