"""Why a way in is shut, as one sentence."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Cause:
    """What is wrong, with the object that it is wrong with, and the file and line that say so, if these are known.

    `stays` says that waiting does not mend it.
    """

    told: str
    file: str = ""
    stays: bool = True

    @property
    def sentence(self) -> str:
        """It as a person reads it."""
        return f"{self.told} ({self.file})" if self.file else self.told
