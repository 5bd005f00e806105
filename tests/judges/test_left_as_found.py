"""A person's own cluster that is not as it was before the run is no sign-off, however well all else went."""

from pathlib import Path

import pytest

from signoff.evidence.models import LeftAsFound
from signoff.judges.run import Result
from signoff.verdicts import ExitStatus
from tests.evidence import runs

LEFT = "Deployment/llm-proxy in attic: spec.replicas is 0, and was 1"


def judged(folder: Path, *differences: str) -> Result:
    writer = runs.open_run(folder)
    runs.plan(writer, runs.OBSERVES)
    runs.set_up(writer)
    writer.play(list(runs.OBSERVES))
    writer.evidence.add(LeftAsFound(differences=list(differences)))
    return runs.finish(writer)


@pytest.mark.usefixtures("undrawn")
def test_what_is_left_changed_is_no_sign_off_and_is_said(tmp_path: Path) -> None:
    assert judged(tmp_path / "as-before").signed_off
    result = judged(tmp_path / "changed", LEFT)
    assert not result.signed_off
    assert result.status is ExitStatus.NOT_JUDGED
    assert f"the cluster is not as it was before: {LEFT}" in result.headline
    assert LEFT in (tmp_path / "changed" / "signoff.md").read_text(encoding="utf-8")
