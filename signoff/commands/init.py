"""`signoff init`: look at manifests, or at a cluster, and write the settings with which a run judges them."""

import argparse
import difflib
import os
import shlex
import sys
import textwrap
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from signoff.cluster.registry import OF_A_CONTEXT
from signoff.core import timeouts
from signoff.core.errors import SignoffError, UsageError, refusing
from signoff.core.paths import check_writable, private_folder, write_private
from signoff.core.redact import HIDDEN, hide, scrubbed
from signoff.core.whole import draft_of
from signoff.gateway.key import keys_of
from signoff.gateway.live_survey import survey_cluster
from signoff.gateway.survey import Ask, Fact, Question, Survey, survey
from signoff.kube import kubeconfig, standing
from signoff.kube.answering import answering
from signoff.kube.client import Kube
from signoff.options import ClusterChoice, check_deployment
from signoff.settings.reading import FILE, read
from signoff.settings.writing import Line, written

_STANDARD_INPUT = "-"
_RENDERED = "rendered.yaml"
_WIDTH, _HEIGHT = 80, 24
_LABEL = 15
"""What the words before the facts take."""
_PLACE = 22
"""What a file and a line get at least, of which the end says more."""
_TO_DO = 6
"""So many lines of what is still to be done are shown however much was found."""
_ALIKE = 3
"""So many facts of one kind are shown."""
_CONTEXT = "--kube-context"
_HEAD_OF_A_CLUSTER = (
    "What this cluster says and the story does not, as `signoff init` found it; see `signoff settings`."
)
_HEAD = "What these manifests say and the story does not, as `signoff init` found it; see `signoff settings`."


def add_to(commands: Any) -> None:
    """Add the command to the program's."""
    parser = commands.add_parser(
        "init",
        help="look at your manifests or your cluster, and write the settings to judge them with",
        description=run.__doc__,
        epilog="""Examples: `signoff init ~/home-lab/apps` writes ~/home-lab/apps/signoff.toml; `helm template gw CHART
        | signoff init -` keeps what the chart renders as rendered.yaml in this folder, and writes signoff.toml beside
        it; `signoff init --kube-context home` looks at a cluster, and writes signoff.toml in this folder.
        Exit status: 0 if a run could start with these settings, 1 if something is still to be done for it, and 4
        if nothing could be written.""",
    )
    parser.add_argument(
        "manifests",
        nargs="*",
        metavar="FOLDER",
        help="folders or files with the manifests of LiteLLM and vLLM, or - for standard input",
    )
    parser.add_argument(
        _CONTEXT,
        metavar="NAME",
        help="look at what stands on the cluster of this context of your kubeconfig instead, and change nothing there",
    )
    parser.add_argument(
        "--namespace",
        metavar="NAME",
        default="",
        help="with it, LiteLLM's namespace (default: it is looked for in all)",
    )
    parser.add_argument("--force", action="store_true", help="replace a signoff.toml that is there")
    parser.set_defaults(run=run)


@dataclass(frozen=True)
class _Source:
    """What is looked at, how it is called, and where the settings for it go.

    `lines` are the settings that say where it is. `rendered` is what came from standard input.
    """

    told: str
    target: Path
    lines: tuple[Line, ...]
    look: Callable[[Ask], Survey]
    refusals: Callable[[], list[str]]
    """Why a run with the settings, once they are written, would be refused before it starts."""
    head: str = _HEAD
    rendered: bytes | None = None
    option: str = ""
    """What a run needs beside the settings."""

    @classmethod
    def of_files(cls, told: str, paths: tuple[Path, ...], listed: list[str], target: Path) -> "_Source":
        """Manifests; `listed` is what the settings call them."""
        beside = paths[0] if paths[0].is_dir() else paths[0].parent
        lines = (Line("manifests", listed, "from this folder"),)
        return cls(f"in {told}", target, lines, lambda ask: survey(paths, beside, ask), lambda: _refusal(target))


def run(options: argparse.Namespace) -> int:
    """Look at manifests, or at a cluster, and write the settings with which a run judges them into signoff.toml.

    A setting is written where they say something else than the story, each with its reason. What they leave
    open is asked, on a terminal; Enter takes the answer in brackets. A signoff.toml that is there stays as it is.
    """
    with _source(options) as source:
        check_writable(
            source.target.parent, "the settings", str(source.target), "copy the manifests to a folder of yours"
        )
        stays = os.path.lexists(source.target) and not options.force
        screen = _Screen(source, asks=not stays and sys.stdin.isatty() and sys.stdout.isatty())
        with refusing():
            found = source.look(screen.ask)
        lines = [*source.lines, *found.lines]
        absent = _absent_secrets(found, source.target.parent)
        text = scrubbed(
            written(lines, [source.head, *(f"Open: {each}" for each in (*found.unanswered, *absent)), *found.left_out])
        )
        if stays:
            _check_the_same(source.target, text)
        _keep_rendered_apart(source, force=options.force)
        screen.show(found.facts)
        if not stays:
            _write(source, text)
    still = absent or ([] if found.undecided else source.refusals())
    settings = sum(line.is_set for line in lines)
    screen.end(f"{'Unchanged' if stays else 'Wrote'}: {source.target}, {settings} settings", found.unanswered, still)
    return 1 if still or found.undecided else 0


# What is looked at


@contextmanager
def _source(options: argparse.Namespace) -> Iterator[_Source]:
    given: Sequence[str] = options.manifests
    if bool(given) is (options.kube_context is not None):
        what = "a cluster is looked at alone" if given else "there is nothing to look at"
        hint = f"name the folder of your manifests, or a context of your kubeconfig with {_CONTEXT}"
        raise UsageError(what, where=" ".join(["signoff init", *given]), hint=hint)
    if options.namespace and not options.kube_context:
        hint = f"leave it out, or name a cluster with {_CONTEXT}"
        raise UsageError("manifests say their namespace themselves", where="--namespace", hint=hint)
    if options.kube_context is not None:
        with _of_cluster(options.kube_context, options.namespace) as source:
            yield source
        return
    if _STANDARD_INPUT in given:
        with _from_standard_input(given) as source:
            yield source
        return
    paths = tuple(map(Path, given))
    for path in paths:
        if not os.path.lexists(path):
            hint = "name the folder of your manifests, or - for standard input"
            raise UsageError("the folder of manifests is not there", where=str(path), hint=hint)
    folder = paths[0] if paths[0].is_dir() else paths[0].parent
    told, listed = " and ".join(map(str, paths)), [os.path.relpath(path, folder) for path in paths]
    yield _Source.of_files(told, paths, listed, folder / FILE)


@contextmanager
def _of_cluster(context: str, namespace: str) -> Iterator[_Source]:
    with private_folder() as folder:
        file = kubeconfig.only(context, folder)
        kube = Kube(file)
        lines = Line("cluster", OF_A_CONTEXT, "your own"), Line("kube_context", context, kube.server)
        yield _Source(
            f"on {context} ({kube.server})",
            Path(FILE),
            lines,
            lambda ask: _reached(lambda: survey_cluster(kube, ask, namespace), context, kube),
            lambda: _refusal_of(kube, Path(FILE)),
            _HEAD_OF_A_CLUSTER,
            option=f" --allow-context {shlex.quote(context)}",
        )


def _reached(look: Callable[[], Survey], context: str, kube: Kube) -> Survey:
    with answering(context, kube.server):
        kube.core.get_api_resources(_request_timeout=timeouts.API_REQUEST.seconds)
        return look()


@contextmanager
def _from_standard_input(given: Sequence[str]) -> Iterator[_Source]:
    if len(given) > 1:
        what = "standard input is looked at alone"
        raise UsageError(what, where=" ".join(given), hint="save it in a file, and name that beside the others")
    example = "helm template RELEASE CHART | signoff init -"
    if sys.stdin.isatty():
        raise UsageError("there are no manifests on standard input", where=_STANDARD_INPUT, hint=f"write `{example}`")
    data = sys.stdin.buffer.read()
    if not data.strip():
        raise UsageError("standard input is empty", where=_STANDARD_INPUT, hint=f"see whether `{example}` says why")
    with private_folder() as folder:
        file = folder / _RENDERED
        write_private(file, data)
        try:
            yield replace(_Source.of_files("standard input", (file,), [_RENDERED], Path(FILE)), rendered=data)
        except SignoffError as error:
            where = error.where.replace(str(file), "standard input")
            raise UsageError(error.what, where=where, hint=error.hint) from error


# What is written


def _check_the_same(target: Path, text: str) -> None:
    """See that a file that is there says what would be written.

    Raises:
        UsageError: it says something else; the difference is shown.
    """
    try:
        old = target.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise UsageError("there is a file of settings that cannot be read", where=str(target), hint=_FORCE) from None
    if old == text:
        return
    if _hides_its_key(old):
        changes = difflib.unified_diff(
            scrubbed(old).splitlines(), text.splitlines(), str(target), "what would be written", lineterm="", n=0
        )
        print("\n".join(_at_most(list(changes), _HEIGHT - 4)))
    raise UsageError("there are settings that say something else, and they stay", where=str(target), hint=_FORCE)


_FORCE = "look at the difference, and change the file or let --force replace it"


def _hides_its_key(text: str) -> bool:
    """Show nothing of an API key that a file of settings has; False if nobody can tell where it is."""
    try:
        key = tomllib.loads(text).get("api_key")
    except (tomllib.TOMLDecodeError, RecursionError):
        return HIDDEN in text or "api_key" not in text
    if isinstance(key, str) and key:
        hide(key)
    return True


def _keep_rendered_apart(source: _Source, *, force: bool) -> None:
    """See that what came from standard input replaces no other file.

    Raises:
        UsageError: it would.
    """
    file = source.target.parent / _RENDERED
    if source.rendered is None or force or not file.exists() or file.read_bytes() == source.rendered:
        return
    hint = f"let --force replace it, or name the file itself: `signoff init {_RENDERED}`"
    raise UsageError(f"there is another {_RENDERED}, and it stays", where=str(file), hint=hint)


def _write(source: _Source, text: str) -> None:
    """Both files, each whole or not at all."""
    with ExitStack() as stack:
        drafts = [(source.target, text.encode())]
        if source.rendered is not None:
            drafts.append((source.target.parent / _RENDERED, source.rendered))
        for path, data in drafts:
            draft = stack.enter_context(draft_of(path, "free some space there, then begin again"))
            draft.unlink(missing_ok=True)
            if path == source.target:
                draft.write_bytes(data)
            else:
                write_private(draft, data)  # a chart renders Secrets too


# What is still to be done


def _absent_secrets(found: Survey, folder: Path) -> list[str]:
    """The files of Secrets that somebody has to write."""
    files: dict[str, str] = next((line.value for line in found.lines if line.name == "secrets"), {})
    absent = []
    for name, file in files.items():
        path = folder / os.path.expanduser(file)  # noqa: PTH111  Path's own fails where there is no such user
        if not path.exists():
            keys = " ".join(f"{key}=..." for key in found.secrets[name]) or "KEY=VALUE lines"
            absent.append(f"Write {path} with the values of the Secret {name}: {keys}")
    return absent


def _refusal(target: Path) -> list[str]:
    """Why a run with these settings would be refused before it starts."""
    try:
        settings = read({}, str(target))
        check_deployment(settings, ClusterChoice.of(settings))
    except SignoffError as error:
        return [f"{error.what} ({error.where}): {error.hint}"]
    return []


def _refusal_of(kube: Kube, target: Path) -> list[str]:
    """The same for what stands on a cluster."""
    try:
        keys_of(standing.read(kube, read({}, str(target)).settings))
    except SignoffError as error:
        return [f"{error.what} ({error.where}): {error.hint}"]
    return []


def _command(source: _Source) -> str:
    features = "pytest features/" if Path("features", "story.yaml").is_file() else "signoff run"
    return f"{features} --settings {shlex.quote(str(source.target))}{source.option}"


# The screen


class _Screen:
    """What a person reads and answers."""

    def __init__(self, source: _Source, *, asks: bool) -> None:
        self._source, self._asks = source, asks
        self._shown = 0
        self._printed = 0

    def ask(self, question: Question, facts: Sequence[Fact]) -> str | None:
        """Ask, below the facts so far."""
        if not self._asks:
            return None
        self.show(facts)
        default = question.answers[0]
        if question.setting == "secrets":
            default = str(self._source.target.parent / default)
        while True:
            # Not by input(), which hears no Ctrl-C between its prompt and its wait.
            print(f"{question.text} [{default}] ", end="", flush=True)
            line = sys.stdin.readline()
            if not line:  # Ctrl-D
                print()
                return None
            answer = line.strip() or default
            if question.only_these and answer not in question.answers:
                print(f"There is no {answer}.")
                continue
            return self._from_the_file(answer) if question.setting == "secrets" else answer

    def _from_the_file(self, path: str) -> str:
        """What the settings call a file that a person names from here."""
        kept = path.startswith("~") or Path(path).is_absolute()
        return path if kept else os.path.relpath(path, self._source.target.parent)

    def show(self, facts: Sequence[Fact]) -> None:
        """Those that were not shown yet."""
        if not self._printed:
            self._print(f"Found {self._source.told}:")
        new = facts[self._shown :]
        for of, group in groupby(new, key=lambda fact: fact.of):
            alike = list(group)
            fit = len(alike) if len(alike) <= _ALIKE else _ALIKE - 1
            for at, fact in enumerate(alike[:fit]):
                self._fact("" if at else of, fact)
            if fit < len(alike):
                self._print(f"  {'':<{_LABEL}}and {len(alike) - fit} more")
        self._shown = len(facts)

    def _fact(self, of: str, fact: Fact) -> None:
        room = _WIDTH - len("  ") - _LABEL
        where = _cut_before(fact.where, max(_PLACE, room - len(fact.what) - 2))
        what = _cut(fact.what, room - (len(where) + 2 if where else 0))
        self._print(f"  {of:<{_LABEL}}{what}{'  ' + where if where else ''}")

    def end(self, done: str, unanswered: Sequence[str], still: Sequence[str]) -> None:
        """What was done, what is still to be done, and what to type next."""
        self._print(done)
        if unanswered or still:
            self._print("Before a run:" if still else "To look at:")
            wrapped = [
                line
                for each in (*still, *unanswered)
                for line in textwrap.wrap(each, _WIDTH - 4, initial_indent="  - ", subsequent_indent="    ")
            ]
            for line in _at_most(wrapped, max(_TO_DO, _HEIGHT - 1 - self._printed)):
                self._print(line)
        self._print(f"{'Then' if still else 'Next'}: {_command(self._source)}")

    def _print(self, line: str) -> None:
        self._printed += 1
        print(scrubbed(line))


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"


def _cut_before(text: str, width: int) -> str:
    return text if len(text) <= width else f"…{text[1 - width :]}"


def _at_most(lines: list[str], room: int) -> list[str]:
    return lines if len(lines) <= room else [*lines[: max(room, 1) - 1], "    and more"]
