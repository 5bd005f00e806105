"""`signoff` says what is wrong in words for a person."""

from pathlib import Path

import pytest

from signoff.cli import main


@pytest.mark.parametrize("command", ["serve", "prepare"])
def test_missing_manifests_are_named(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--manifests", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert "a manifest is missing" in said
    assert str(tmp_path / "vllm" / "kustomization.yaml") in said
    assert "next:" in said


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    said = capsys.readouterr().out
    for word in ("serve", "prepare", "report", "calibrate", "pytest features/", "locust -f bench/"):
        assert word in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["cluster", "--help"], ("up", "status", "down", 'eval "$(signoff cluster up)"')),
        (["cluster", "up", "--help"], ("NAME", "KUBECONFIG", "pytest features/", "locust -f bench/")),
        (["cluster", "status", "--help"], ("kept", "MEMORY")),
        (["cluster", "down", "--help"], ("--all", "2 seconds")),
    ],
)
def test_help_on_clusters_teaches(
    arguments: list[str], words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(arguments)
    said = capsys.readouterr().out
    for word in words:
        assert word in said
