"""The journal over the death of the agent, and on a disk that cannot hold it."""

from pathlib import Path

import pytest

from schemas.task import Outcome, Phase
from worker_agent.journal import Journal, JournalError, ProcessRow
from worker_agent.plan import Plan, Work


def a_work(task: int, *, promote: str | None = None) -> Work:
    return Work(task, 1, directory=f"{task}/1", promote=promote)


def report(work: Work, outcome: Outcome = Outcome.COMPLETED) -> Work:
    work.phase, work.outcome, work.report = Phase.FINISHED, outcome, b'{"task":1}'
    return work


def test_what_was_written_is_read_by_the_next_life(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    works = [a_work(task, promote="p") for task in (1, 2, 3, 4)]
    journal.apply(Plan(taken=works))
    journal.apply(Plan(reported=[report(work) for work in works[1:]]))
    journal.apply(Plan(accepted=[works[2]], ended=[(4, 1)], barred=[(9, 3)]))
    journal.close()
    journal = Journal(tmp_path)
    found = {work.task: work for work in journal.works()}
    assert {task: (work.phase, work.accepted) for task, work in found.items()} == {
        1: (Phase.RECEIVED, False),
        2: (Phase.FINISHED, False),
        3: (Phase.FINISHED, True),
    }
    assert (found[3].directory, found[3].promote, found[3].outcome) == ("3/1", "p", Outcome.COMPLETED)
    assert found[2].report == b'{"task":1}'
    assert journal.ended() == [(4, 1), (9, 3)]
    journal.close()


def test_an_ended_attempt_forgets_its_directory(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    work = a_work(1, promote="p")
    journal.apply(Plan(taken=[work], reported=[report(work)]))
    journal.apply(Plan(ended=[(1, 1)]))
    again = report(Work(1, 1), Outcome.INTERRUPTED)
    journal.apply(Plan(taken=[again], reported=[again]))
    (found,) = journal.works()
    assert (found.outcome, found.directory, found.promote) == (Outcome.INTERRUPTED, None, None)
    journal.close()


def test_ended_attempts_can_be_pruned(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.apply(Plan(barred=[(1, 1), (1, 2), (2, 5)]))
    journal.apply(Plan(pruned=[(1, 2)]))
    assert journal.ended() == [(2, 5)]
    journal.close()


def test_processes_are_remembered_until_they_are_reaped(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.spawned(ProcessRow(1, 1, 4711, 12.5, "boot"))
    journal.spawned(ProcessRow(2, 1, 4712, 13.5, "boot"))
    journal.reaped(4711, 12.5)
    journal.close()
    journal = Journal(tmp_path)
    assert journal.processes() == [ProcessRow(2, 1, 4712, 13.5, "boot")]
    journal.forget_processes()
    assert journal.processes() == []
    journal.close()


def test_two_agents_cannot_share_a_journal(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    with pytest.raises(JournalError, match="in use by another agent"):
        Journal(tmp_path)
    journal.close()
    Journal(tmp_path).close()


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match="set --data-dir"):
        Journal(tmp_path / "file" / "below")


def test_a_journal_of_a_newer_agent_is_refused(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal._db.execute("pragma user_version = 99")
    journal.close()
    with pytest.raises(JournalError, match="newer agent"):
        Journal(tmp_path)


def test_what_cannot_be_written_now_is_written_later_but_for_new_attempts(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    old = a_work(1)
    journal.apply(Plan(taken=[old]))
    pages = journal._db.execute("pragma page_count").fetchone()[0]
    journal._db.execute(f"pragma max_page_count = {pages}")
    big = report(old)
    big.report = b"x" * 100_000
    with pytest.raises(JournalError, match="free space"):
        journal.apply(Plan(taken=[a_work(2)], reported=[big]))
    assert journal.failing
    assert not journal.probe()
    journal._db.execute("pragma max_page_count = 100000")
    assert journal.probe()
    assert not journal.failing
    (found,) = journal.works()
    assert found.task == 1
    assert found.report == big.report
    journal.close()
