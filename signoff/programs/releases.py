"""Official releases, downloaded with the checksums that are published beside them."""

import hashlib
import platform
import re
import shutil
import ssl
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import httpx

from signoff.core import interrupts
from signoff.core.errors import SignoffError
from signoff.core.timeouts import BUILD_PROGRAMS, DOWNLOAD_CONNECT
from signoff.programs.search import Progress, Unavailable

CHANGED_ON_ITS_WAY = "try again; if it persists, something between this machine and the release changes files"
"""What to do about a checksum that is another than the published one."""


def architecture() -> str:
    """What releases for this machine are called after: amd64 or arm64.

    Raises:
        Unavailable: there are none for it.
    """
    machine = platform.machine()
    try:
        return {"x86_64": "amd64", "aarch64": "arm64"}[machine]
    except KeyError:
        raise Unavailable(f"no official release for {machine}") from None


def client() -> httpx.Client:
    """For what the functions of this module ask."""
    timeout = httpx.Timeout(30, connect=DOWNLOAD_CONNECT.seconds)
    return httpx.Client(timeout=timeout, follow_redirects=True, verify=_authorities())


@cache
def _authorities() -> ssl.SSLContext:
    """Those that are trusted, read once: each client would read them again."""
    return httpx.create_ssl_context()


def only_checksum(client: httpx.Client, url: str) -> str:
    """The SHA-512 that a file of its own holds; a network's log-in page in its place holds none.

    Raises:
        Unavailable: there is none.
    """
    text = _text(client, url).strip()
    if not re.fullmatch(r"[0-9a-f]{128}", text):
        raise Unavailable(f"{url} holds no checksum")
    return text


def listed_checksum(client: httpx.Client, url: str, name: str) -> str:
    """The SHA-256 in the line of a list that ends with the file's name.

    Raises:
        Unavailable: there is none.
    """
    found = re.search(rf"^([0-9a-f]{{64}})\s+{re.escape(name)}$", _text(client, url), re.MULTILINE)
    if not found:
        raise Unavailable(f"{url} does not list {name}")
    return found[1]


def fetch(client: httpx.Client, url: str, path: Path, algorithm: str, checksum: str, progress: Progress) -> None:
    """Download to `path`.

    Raises:
        Unavailable: it is not there.
        SignoffError: the checksum differs from the published one. That is no reason to try another way: someone
            between here and there may have changed the program.
    """
    digest, reported = hashlib.new(algorithm), time.monotonic()
    progress(f"downloading {url}")
    with _unavailable_as_such(url), client.stream("GET", url) as answer, path.open("wb") as file:
        answer.raise_for_status()
        for block in answer.iter_bytes(1 << 20):
            if interrupts.interrupted():
                raise SignoffError(f"the download of {path.name} was interrupted", where=url)
            file.write(block)
            digest.update(block)
            if time.monotonic() - reported > BUILD_PROGRAMS.every:
                reported = time.monotonic()
                progress(f"downloading {path.name}: {file.tell() >> 20} MiB so far")
    if digest.hexdigest() != checksum:
        raise SignoffError(
            f"the download of {path.name} does not match its published {algorithm} checksum",
            where=f"{url}: {digest.hexdigest()}, published: {checksum or 'none'}",
            hint=CHANGED_ON_ITS_WAY,
        )


def unpack(archive: Path, member: str, program: Path) -> None:
    """Take one program out of an archive, which goes.

    Raises:
        SignoffError: it is not in there.
    """
    with tarfile.open(archive) as files:
        try:
            content = files.extractfile(member)
        except KeyError:
            content = None
        if content is None:
            raise SignoffError(f"the release of {program.name} holds no {member}", where=str(archive))
        with program.open("wb") as file:
            shutil.copyfileobj(content, file)
    program.chmod(0o755)
    archive.unlink()


def _text(client: httpx.Client, url: str) -> str:
    with _unavailable_as_such(url):
        return client.get(url).raise_for_status().text


@contextmanager
def _unavailable_as_such(url: str) -> Iterator[None]:
    try:
        yield
    except httpx.HTTPStatusError as error:
        raise Unavailable(f"{url} answers {error.response.status_code}") from error
    except httpx.HTTPError as error:
        raise Unavailable(f"{url}: {error or type(error).__name__}") from error
