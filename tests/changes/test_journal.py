"""The journal of changes: on disk at once, read as far as it goes, and never believed when it is damaged."""

import os
import resource
import signal
import stat
from pathlib import Path

import pytest

from signoff.changes import journal as journals
from signoff.changes.journal import Answer, Before, Closed, Header, Intent, Journal, Restoring
from signoff.changes.process import Process
from signoff.changes.target import Named
from signoff.core.errors import SignoffError, UsageError
from signoff.core.paths import check_state


def begun(run: str = "run", cluster: str = "uid") -> Journal:
    named = [Named("apps", "Deployment", "ml", "gateway")]
    return Journal.begun(
        Header(
            run=run,
            folder="/reports/run",
            context="home",
            kubeconfigs=["/config"],
            cluster=cluster,
            rights=["deploy"],
            namespaces=["ml"],
            named=named,
            process=Process.this(),
        )
    )


def intent(number: int = 0) -> Intent:
    name = Named("", "ConfigMap", "ml", "settings")
    return Intent(number=number, path="/api/v1/namespaces/ml/configmaps/settings", name=name, before={"a": "é"})


def test_it_is_read_as_it_was_written(state_folder: Path) -> None:
    journal = begun()
    journal.add(intent())
    journal.add(Answer(number=0, status=200, after={"a": 2}))
    assert journal.path == state_folder / "uid" / "run.jsonl"
    again = Journal.at(journal.path)
    assert again.entries == journal.entries
    assert not again.is_closed and journals.unclosed("uid")
    again.close(["left"])
    assert journals.unclosed("uid") == [] and len(journals.of_cluster("uid")) == 1


def test_one_that_is_closed_keeps_nothing_of_what_was_there(state_folder: Path) -> None:
    journal = begun()
    journal.add(Before(objects={"a": {"b": "c"}}, unread=[]))
    journal.add(intent())
    journal.add(Answer(number=0, status=200, after={"a": 2}))
    journal.add(Restoring(process=Process.this()))
    journal.close(["data.a of ConfigMap/settings is another"])
    again = Journal.at(journal.path)
    assert [type(each) for each in again.entries] == [Header, Restoring, Closed]
    assert again.entries == journal.entries and again.header == journal.header
    assert stat.S_IMODE(journal.path.stat().st_mode) == 0o600
    assert list(state_folder.rglob("*.*")) == [journal.path]


def test_one_that_cannot_be_closed_is_as_before(state_folder: Path) -> None:
    journal = begun()
    journal.add(intent())
    journal.path.with_suffix(".closing").mkdir()
    with pytest.raises(SignoffError, match="the journal of changes cannot be written"):
        journal.close([])
    assert not journal.is_closed and Journal.at(journal.path).entries == journal.entries


def test_nobody_else_reads_it(state_folder: Path) -> None:
    """What was there before may be a Secret."""
    path = begun().path
    assert [stat.S_IMODE(each.stat().st_mode) for each in (path, path.parent, state_folder)] == [0o600, 0o700, 0o700]


def test_a_line_that_was_not_written_whole_is_not_there(state_folder: Path) -> None:
    journal = begun()
    journal.add(intent())
    whole = journal.path.read_bytes()
    for cut in range(1, 60, 7):
        journal.path.write_bytes(whole[:-cut])
        assert [type(each) for each in Journal.at(journal.path).entries] == [Header]
    again = Journal.at(journal.path)
    again.add(intent(7))
    assert [each.number for each in Journal.at(journal.path).intents] == [7]


def test_one_without_a_line_is_none(state_folder: Path) -> None:
    path = begun().path
    path.write_bytes(path.read_bytes()[:-1])
    assert journals.of_cluster("uid") == [] and journals.everywhere() == ([], [])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"type": "closed"}\n', "it does not begin with a header"),
        ("no JSON\n", "damaged"),
        ('{"type": "unheard"}\n', "damaged"),
    ],
)
def test_what_is_damaged_is_told_with_its_place(text: str, told: str, state_folder: Path) -> None:
    journal = begun()
    begun("other")
    journal.path.write_text(text)
    with pytest.raises(SignoffError, match=told) as error:
        journals.unclosed("uid")
    assert str(journal.path) in error.value.where and "remove the file" in error.value.hint
    found, errors = journals.everywhere()
    assert ([each.run for each in found], len(errors)) == (["other"], 1)


def test_another_version_is_told(state_folder: Path) -> None:
    journal = begun()
    journal.path.write_text(journal.path.read_text().replace('"schema_version":1', '"schema_version":2'))
    with pytest.raises(SignoffError, match="the journal is of another version: 2"):
        Journal.at(journal.path)


def test_no_two_runs_share_one(state_folder: Path) -> None:
    begun()
    with pytest.raises(SignoffError, match="the journal of changes cannot be written: File exists"):
        begun()


def test_a_full_disk_leaves_it_whole(state_folder: Path) -> None:
    """The limit of a file's size is the disk here: a write gets as far as it goes."""
    journal = begun()
    before, limits = journal.path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    was = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 20, limits[1]))
    try:
        with pytest.raises(SignoffError, match="the journal of changes cannot be written"):
            journal.add(intent())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, was)
    assert journal.path.read_bytes() == before
    journal.add(intent())
    assert len(Journal.at(journal.path).intents) == 1


def test_a_state_that_cannot_be_written_is_refused_before_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    with pytest.raises(UsageError, match=r"the journal of changes cannot be written: .* is no folder") as error:
        check_state()
    assert "XDG_STATE_HOME" in error.value.where


def test_a_process_is_known_by_more_than_its_number() -> None:
    me = Process.this()
    assert me.lives is True
    assert me.model_copy(update={"started": me.started - 1}).lives is False
    assert me.model_copy(update={"pid": 2**22 + 1}).lives is False
    assert me.model_copy(update={"host": "elsewhere"}).lives is None
    assert me.model_copy(update={"numbered_in": "another boot"}).lives is None
    assert str(os.getpid()) in str(me)
