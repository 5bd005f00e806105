"""Whatever manifests say, looking at them ends with what was found or a refusal, and a run takes what is set."""

import json
import shutil
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from signoff.core.errors import SignoffError
from signoff.core.paths import MANIFESTS
from signoff.gateway.survey import survey
from signoff.settings import Settings
from tests.kube.test_damaged import PLACES, VALUES, Place, damaged


def test_of_the_storys_own_manifests_nothing_has_to_be_set() -> None:
    found = survey([MANIFESTS], MANIFESTS, lambda *_: None)
    assert (found.lines, found.unanswered, found.secrets) == ([], [], {})


@given(st.sampled_from(PLACES), st.sampled_from(VALUES))
def test_damaged_manifests_are_looked_at_or_refused(tmp_path: Path, where: tuple[int, Place], value: Any) -> None:
    file = tmp_path / "all.json"
    file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": damaged(*where, value)}), encoding="utf-8")
    try:
        found = survey([file], tmp_path, lambda *_: None)
    except SignoffError:
        return
    Settings(**{line.name: line.value for line in found.lines if line.is_set})


def test_a_service_that_is_not_there_is_said(tmp_path: Path) -> None:
    for name in ("litellm", "vllm"):
        shutil.copytree(MANIFESTS / name, tmp_path / name)
    file = tmp_path / "litellm" / "deployment.yaml"
    file.write_text(file.read_text().replace("kind: Service\n", "kind: Endpoints\n"))
    told = [each.what for each in survey([tmp_path], tmp_path, lambda *_: None).facts if each.of == "Service"]
    assert told == ["none leads to Deployment/litellm"]
