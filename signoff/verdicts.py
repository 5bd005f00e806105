"""The three verdicts; "could not judge" is one of them and never counts as passed."""

from enum import Enum


class Verdict(Enum):
    """What a check says of its subject."""

    PASSED = "passed"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"


class Inconclusive(Exception):
    """Raised by a check that cannot judge; its text is the reason."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)
