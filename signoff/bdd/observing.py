"""What ties a Then step to the checks of a story's declaration."""

from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

_NAME = "__observes__"


def observes(*checks: str) -> Callable[[F], F]:
    """Say which checks a Then step observes; it has to record an `Observation` of each, and judges none.

    Stands below the step's own decorator:

        @then("the Service has an address")
        @observes("address")
        def has_address(evidence: Evidence, service: Service) -> None:
            evidence.add(Fact(check="address", seen=service.address))
    """

    def mark(function: F) -> F:
        setattr(function, _NAME, checks)
        return function

    return mark


def observed_by(function: Callable[..., Any]) -> tuple[str, ...]:
    """The checks that a step observes; none if nothing says so."""
    return tuple(getattr(function, _NAME, ()))
