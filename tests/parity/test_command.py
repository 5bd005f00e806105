"""What `signoff parity` says before it starts anything."""

import pytest

from signoff.cli import main
from signoff.cluster.embedded.images import Images
from signoff.paths import cache_dir

LITELLM = "ghcr.io/berriai/litellm"


@pytest.mark.parametrize("tag", ["main-v1.80.9-nightly", "sha-abcdef0", "v1.80"])
def test_a_tag_that_names_no_release_is_refused_at_once(tag: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["parity", "--image", f"{LITELLM}:{tag}"]) == 1
    told = capsys.readouterr().err
    for expected in (tag, "names no version", "1.80.16", "nightly", "kind"):
        assert expected in told


@pytest.mark.parametrize(
    ("tag", "version"),
    [("v1.80.5.rc.2", "1.80.5.rc.2"), ("1.106.0-rc.1", "1.106.0-rc.1"), ("main-v1.80.16-stable", "1.80.16")],
)
def test_candidates_and_releases_name_a_version(tag: str, version: str) -> None:
    assert Images(cache_dir()).find(f"{LITELLM}:{tag}")[1] == version
