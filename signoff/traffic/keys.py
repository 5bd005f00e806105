"""The keys that clients ask with: the gateway's through the gateway, the backend's where the backend is asked itself.

They reach another process by its environment alone: a command line can be read by everybody on the machine. Nothing is
imported here beyond Python and the suite's errors, since a pod of Locust's image has no more.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from signoff.core.errors import UsageError
from signoff.core.redact import hide

NO_KEY = "sk-none"
"""What is sent where no key was given: OpenAI's clients send one always, and servers without keys ignore it."""
GATEWAY, BACKEND = "SIGNOFF_API_KEY", "SIGNOFF_VLLM_KEY"
"""The variables that hold the keys."""
_OPTIONS = ("--api-key", "--vllm-key")
_SHORTEST = len("--a") + 1
"""Of what argparse takes for one of these options: below that it would be Locust's --autostart as well."""


@dataclass(frozen=True)
class Keys:
    """A key for each side, shown by no `repr`; those that are given are written nowhere from then on."""

    gateway: str = field(default=NO_KEY, repr=False)
    backend: str = field(default=NO_KEY, repr=False)

    def __post_init__(self) -> None:
        """Hide them, and see that a header can hold them.

        Raises:
            UsageError: it cannot.
        """
        for variable, key in self.given.items():
            hide(key)
            if not (key.isascii() and key.isprintable() and key.split() == [key]):
                hint = "make the Secret anew; `echo` ends what it writes with a line break, and `printf %s` does not"
                raise UsageError(
                    f"the key is none that a header can hold: it has {_strange(key)}", where=variable, hint=hint
                )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """The keys that these variables hold; an empty one is none.

        Raises:
            UsageError: a header cannot hold one.
        """
        return cls(environment.get(GATEWAY) or NO_KEY, environment.get(BACKEND) or NO_KEY)

    @property
    def given(self) -> dict[str, str]:
        """Those that are given, by the variable that hands them to another process."""
        return {name: key for name, key in ((GATEWAY, self.gateway), (BACKEND, self.backend)) if key != NO_KEY}


NO_KEYS = Keys()


def _strange(key: str) -> str:
    if not key:
        return "no letter"
    if key.endswith(("\n", "\r")):
        return "a line break at its end"
    return "letters beyond ASCII" if not key.isascii() else "white space or control characters"


def refuse_on_command_line(words: Sequence[str]) -> None:
    """See that no key stands among the words of a command line.

    Raises:
        UsageError: one does.
    """
    for word in words:
        asked = word.partition("=")[0]
        option = next((each for each in _OPTIONS if each.startswith(asked)), "") if len(asked) >= _SHORTEST else ""
        if option:
            variable = dict(zip(_OPTIONS, (GATEWAY, BACKEND), strict=True))[option]
            raise UsageError(
                f"{option} puts a key on the command line, which everybody on the machine can read",
                where=option,
                hint=f"set it in the variable {variable}",
            )
