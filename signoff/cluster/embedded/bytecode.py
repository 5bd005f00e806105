"""Python's bytecode of an image, made once: its containers may not write it, and would compile at each start.

Its first start would have written only what it imported, in the environment that all containers of the image share.
"""

import fcntl
import os
import subprocess

from signoff.cluster.embedded.images import Image, Images
from signoff.core import console
from signoff.core.paths import writing
from signoff.programs.search import LARGER_DISK

_DONE = "compiled"


def prepared(images: Images, reference: str) -> Image:
    """The image with its bytecode; another process that makes either is waited for.

    Raises:
        SignoffError: there is no such image or version, it does not install, or the disk has no room for it.
    """
    image = images.prepare(reference)
    done = image.env_dir / _DONE
    if not done.exists():
        with (
            writing(f"the bytecode of {image.recipe.name}", image.env_dir, LARGER_DISK),
            (image.env_dir / f".{_DONE}.lock").open("w", encoding="utf-8") as lock,
        ):
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                _compile(image)
                done.touch()
    return image


def _compile(image: Image) -> None:
    """Compile all that this Python can: packages bring files for others, too."""
    if image.recipe.requirements:
        console.progress("images", f"compiling {image.recipe.name} {image.version}, once")
    subprocess.run(
        [image.env_dir / "bin" / "python", "-m", "compileall", "-q", "-j", str(os.cpu_count()), image.env_dir / "lib"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
    )
