"""What is made of an image once, beside the environment: its containers may not write it, and would at each start.

That is Python's bytecode, of which a first start would have written only what it imported, and what a program of the
recipe finds out. An image that was installed before either was made gets it then.
"""

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from signoff.cluster.embedded.images import Image, Images
from signoff.core import console
from signoff.core.paths import writing
from signoff.core.processes import dying_with
from signoff.core.timeouts import FOUND_OUT
from signoff.programs.search import LARGER_DISK

_COMPILED = "compiled"


def prepared(images: Images, reference: str) -> Image:
    """The image with all that is made once; another process that makes it is waited for.

    Raises:
        SignoffError: there is no such image or version, it does not install, or the disk has no room for it.
    """
    image = images.prepare(reference)
    _make(image, image.env_dir / _COMPILED, "the bytecode", _compile)
    if image.found:
        _make(image, image.found, "what is found out", _find_out)
    return image


def _make(image: Image, made: Path, what: str, make: Callable[[Image, Path], None]) -> None:
    if made.exists():
        return
    with (
        writing(f"{what} of {image.recipe.name}", image.env_dir, LARGER_DISK),
        (image.env_dir / f".{made.name}.lock").open("w", encoding="utf-8") as lock,
    ):
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            make(image, made)


def _compile(image: Image, done: Path) -> None:
    """Compile all that this Python can: packages bring files for others, too."""
    if image.recipe.requirements:
        console.progress("images", f"compiling {image.recipe.name} {image.version}, once")
    subprocess.run(
        [image.env_dir / "bin" / "python", "-m", "compileall", "-q", "-j", str(os.cpu_count()), image.env_dir / "lib"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    done.touch()


def _find_out(image: Image, found: Path) -> None:
    """Run the recipe's program, in folders that are there meanwhile; where it fails, each start finds out itself."""
    console.progress("images", f"finding out once what each start of {image.recipe.name} {image.version} asks")
    prefix = f".{found.name}.tmp"
    for left in image.env_dir.glob(f"{prefix}*"):  # by one that was killed: nobody else makes it now
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=prefix, dir=image.env_dir) as folder:
        made, home = Path(folder) / "found", Path(folder) / "home"
        made.mkdir()
        home.mkdir()
        env = {"PATH": image.path, "LANG": "C.UTF-8", "HOME": str(home), "TMPDIR": str(home), **image.env(made)}
        command = [image.env_dir / "bin" / "python", image.recipe.first]
        try:
            subprocess.run(
                command,
                env=env,
                cwd=home,
                check=True,
                capture_output=True,
                timeout=FOUND_OUT.seconds,
                preexec_fn=dying_with(os.getpid()),
            )
        except subprocess.SubprocessError as error:
            said = _last_line(error)
            console.progress("images", f"each start of {image.recipe.name} {image.version} finds out itself: {said}")
            shutil.rmtree(made)
            made.mkdir()
        made.rename(found)


def _last_line(error: subprocess.SubprocessError) -> str:
    """What the program said at last, or else what became of it."""
    said = error.stderr if isinstance(error, subprocess.CalledProcessError) else b""
    return (said.decode(errors="replace").strip() or str(error)).splitlines()[-1]
