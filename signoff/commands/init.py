"""`signoff init`: look at manifests, and write the settings with which a run judges them."""

import argparse
import difflib
import os
import shlex
import sys
import textwrap
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from signoff.core.errors import SignoffError, UsageError, refusing
from signoff.core.paths import check_writable, write_private
from signoff.core.redact import HIDDEN, hide, scrubbed
from signoff.core.whole import draft_of
from signoff.gateway.survey import Fact, Question, Survey, survey
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
_ALIKE = 3
"""So many facts of one kind are shown."""
_HEAD = "What these manifests say and the story does not, as `signoff init` found it; see `signoff settings`."


def add_to(commands: Any) -> None:
    """Add the command to the program's."""
    parser = commands.add_parser(
        "init",
        help="look at your manifests, and write the settings to judge them with",
        description=run.__doc__,
        epilog="""Examples: `signoff init ~/home-lab/apps` writes ~/home-lab/apps/signoff.toml; `helm template gw CHART
        | signoff init -` keeps what the chart renders as rendered.yaml in this folder, and writes signoff.toml beside
        it. Exit status: 0 if a run could start with these settings, 1 if something is still to be done for it, and 4
        if nothing could be written.""",
    )
    parser.add_argument(
        "manifests",
        nargs="+",
        metavar="FOLDER",
        help="folders or files with the manifests of LiteLLM and vLLM, or - for standard input",
    )
    parser.add_argument("--force", action="store_true", help="replace a signoff.toml that is there")
    parser.set_defaults(run=run)


@dataclass(frozen=True)
class _Source:
    """The manifests to look at, and where the settings for them go.

    `listed` is what the settings call the manifests. `rendered` is what came from standard input.
    """

    paths: tuple[Path, ...]
    listed: list[str]
    target: Path
    rendered: bytes | None = None

    @property
    def beside(self) -> Path:
        """The folder from which places are named."""
        return self.paths[0] if self.paths[0].is_dir() else self.paths[0].parent


def run(options: argparse.Namespace) -> int:
    """Look at manifests, and write the settings with which a run judges them, signoff.toml beside them.

    A setting is written where the manifests say something else than the story, each with its reason. What they leave
    open is asked, on a terminal; Enter takes the answer in brackets. A signoff.toml that is there stays as it is.
    """
    with _source(options.manifests) as source:
        check_writable(
            source.target.parent, "the settings", str(source.target), "copy the manifests to a folder of yours"
        )
        stays = os.path.lexists(source.target) and not options.force
        screen = _Screen(source, asks=not stays and sys.stdin.isatty() and sys.stdout.isatty())
        with refusing():
            found = survey(source.paths, source.beside, screen.ask)
        lines = [Line("manifests", source.listed, "from this folder"), *found.lines]
        absent = _absent_secrets(found, source.target.parent)
        text = scrubbed(
            written(lines, [_HEAD, *(f"Open: {each}" for each in (*found.unanswered, *absent)), *found.left_out])
        )
        if stays:
            _check_the_same(source.target, text)
        _keep_rendered_apart(source, force=options.force)
        screen.show(found.facts)
        if not stays:
            _write(source, text)
    still = absent or ([] if found.undecided else _refusal(source.target))
    settings = sum(line.is_set for line in lines)
    screen.end(f"{'Unchanged' if stays else 'Wrote'}: {source.target}, {settings} settings", found.unanswered, still)
    return 1 if still or found.undecided else 0


# What is looked at


@contextmanager
def _source(given: Sequence[str]) -> Iterator[_Source]:
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
    yield _Source(paths, [os.path.relpath(path, folder) for path in paths], folder / FILE)


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
    with TemporaryDirectory(prefix="signoff-init-") as folder:
        file = Path(folder) / _RENDERED
        write_private(file, data)
        try:
            yield _Source((file,), [_RENDERED], Path(FILE), data)
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


def _command(target: Path) -> str:
    features = "pytest features/" if Path("features", "story.yaml").is_file() else "signoff run"
    return f"{features} --settings {shlex.quote(str(target))}"


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
            named = (
                "standard input" if self._source.rendered is not None else " and ".join(map(str, self._source.paths))
            )
            self._print(f"Found in {named}:")
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
            for line in _at_most(wrapped, _HEIGHT - 1 - self._printed):
                self._print(line)
        self._print(f"{'Then' if still else 'Next'}: {_command(self._source.target)}")

    def _print(self, line: str) -> None:
        self._printed += 1
        print(scrubbed(line))


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"


def _cut_before(text: str, width: int) -> str:
    return text if len(text) <= width else f"…{text[1 - width :]}"


def _at_most(lines: list[str], room: int) -> list[str]:
    return lines if len(lines) <= room else [*lines[: max(room, 1) - 1], "    and more"]
