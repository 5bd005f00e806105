"""What became of the containers of LiteLLM's pods."""

from types import SimpleNamespace as Of
from typing import Any

import pytest

from signoff.gateway import probes


def status(name: str, restarts: int) -> Any:
    ended = Of(terminated=Of(reason="Error", exit_code=1))
    return Of(name=name, restart_count=restarts, state=Of(terminated=None), last_state=ended)


@pytest.mark.parametrize(
    ("restarts", "told"),
    [
        ({}, ""),
        ({"litellm": 2}, "litellm Error (exit code 1), 2 times"),
        ({"beside": 3}, "beside Error (exit code 1), 3 times"),
        ({"first": 4}, ""),
    ],
)
def test_the_ends_of_containers_and_sidecars_count_and_those_of_init_containers_do_not(
    restarts: dict[str, int], told: str
) -> None:
    pod = Of(
        spec=Of(init_containers=[Of(name="first", restart_policy=None), Of(name="beside", restart_policy="Always")]),
        status=Of(
            container_statuses=[status("litellm", restarts.get("litellm", 0))],
            init_container_statuses=[status(each, restarts.get(each, 0)) for each in ("first", "beside")],
        ),
    )
    assert probes._end(pod) == told
