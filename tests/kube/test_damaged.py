"""Whatever a value of a manifest is replaced by: it is deployed as it is or refused, never with a traceback."""

import json
import re
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signoff.core.errors import SignoffError
from signoff.kube.manifests import StoryManifests
from signoff.settings import Settings

Place = tuple[str | int, ...]


def places(value: Any, above: Place = ()) -> Iterator[Place]:
    """Every place in an object, the object itself left out."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in children:
        yield (*above, key)
        yield from places(each, (*above, key))


STORY = StoryManifests.read()
OBJECTS = [each.body for each in (*STORY.backend, *STORY.gateway)]
PLACES = [(at, place) for at, body in enumerate(OBJECTS) for place in places(body)]
VALUES: list[Any] = [None, "", "x", 0, -1.5, True, [], ["x"], [None], [[]], {}, {"x": "y"}, {"name": None}, {"x": []}]


def damaged(at: int, place: Place, value: Any) -> list[dict[str, Any]]:
    bodies = deepcopy(OBJECTS)
    inside: Any = bodies[at]
    for key in place[:-1]:
        inside = inside[key]
    inside[place[-1]] = value
    return bodies


@given(st.sampled_from(PLACES), st.sampled_from(VALUES))
def test_it_is_read_or_refused(tmp_path: Path, where: tuple[int, Place], value: Any) -> None:
    check(tmp_path / "all.json", where, value)


@pytest.mark.prove
@pytest.mark.parametrize("value", VALUES, ids=json.dumps)
def test_it_is_read_or_refused_wherever_it_is(tmp_path: Path, value: Any) -> None:
    for where in PLACES:
        check(tmp_path / "all.json", where, value)


@pytest.mark.parametrize(
    "spec",
    [
        {"template": "t"},
        {"template": {"spec": "t"}},
        {"template": {"spec": {"containers": "abc"}}},
        {"template": {"spec": {"containers": [{"name": "no-image"}]}}},
        {"template": {"metadata": ["x"]}},
        {"template": {"metadata": {"labels": "x"}}, "selector": "x"},
        {"template": {"spec": {"initContainers": [7], "volumes": "v", "affinity": "a"}}},
        {"template": {"spec": {"containers": [{"image": "x:1", "env": "e"}]}}},
    ],
)
def test_objects_of_other_kinds_may_have_any_spec(spec: Any, tmp_path: Path) -> None:
    other = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": {"name": "other"}, "spec": spec}
    file = tmp_path / "all.json"
    file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": [*OBJECTS, other]}), encoding="utf-8")
    read(file)


def check(file: Path, where: tuple[int, Place], value: Any) -> None:
    listed = {"apiVersion": "v1", "kind": "List", "items": damaged(*where, value)}
    file.write_text(json.dumps(listed), encoding="utf-8")
    try:
        read(file)
    except SignoffError as error:
        assert str(file) in error.where
        assert re.search(r":\d+$", error.where) or "is a Deployment" in error.what


def read(file: Path) -> None:
    """All that is done with manifests before a cluster sees them."""
    found = StoryManifests.read(
        Settings(manifests=(file,), litellm_image="example.test/litellm:1", vllm_image="example.test/vllm:1")
    )
    assert found.images
    assert found.gateway_image
    assert found.second_gateway("litellm-second", lambda config: config.update(extra=1))
    assert found.gateway[-1].line("spec") >= 1
    assert all(each.object_sha256 for each in (*found.gateway, *found.backend))
