"""The proof of faults itself: an auditor that saw nothing would find nothing. So it is shown what it must see."""

import argparse
import random
import sqlite3
from collections import Counter
from pathlib import Path

from coordinator.proof.faults.__main__ import chosen, order
from coordinator.proof.faults.audit import Auditor, Execution, Findings, executions, open_in_journals, overlaps
from coordinator.proof.faults.catalog import FAULTS
from coordinator.proof.faults.report import Run, table, total, write
from coordinator.proof.faults.work import TASKS, a_job
from worker_agent.journal import Journal

BOOK = """\
begin 7 1 agent-1 100 10.0
tick 7 1 agent-1 100 10.5
begin 7 2 agent-2 200 10.4
end 7 2 agent-2 200 11.0
begin 8 1 agent-1 300 11.0
end 8 1 agent-1 300 12.0
begin 8 2 agent-1 301 12.1
"""


def test_the_book_says_who_ran_when_and_to_what_end(tmp_path: Path) -> None:
    book = tmp_path / "book"
    book.write_text(BOOK)

    found = executions(book)

    assert found[0] == Execution(7, 1, "agent-1", 10.0, 10.5, ended=False)
    assert [one.ended for one in found] == [False, True, True, False]
    assert executions(tmp_path / "none") == []


def test_two_processes_of_one_task_at_one_time_are_an_overlap(tmp_path: Path) -> None:
    book = tmp_path / "book"
    book.write_text(BOOK)

    found = overlaps(executions(book))

    assert [(one.attempt, other.attempt, one.task) for one, other in found] == [(1, 2, 7)]


def a_row(**fields: object) -> dict[str, object]:
    row = {"task": 7, "name": "program", "state": "completed", "reason": None, "index": 0, "attempt": 1}
    return row | {"worker": "agent-1", "accepted": True, "ending": "completed"} | fields


class Farm:
    """Where published outputs and logs are."""

    def __init__(self, path: Path) -> None:
        self.published = path / "published"
        self.logs = path


class Stage:
    """As much of one as the auditor's files need."""

    def __init__(self, path: Path) -> None:
        self.farm = Farm(path)
        self.gone: list[str] = []


def an_auditor(path: Path) -> Auditor:
    return Auditor(Stage(path))  # type: ignore[arg-type]


def test_lost_and_doubly_accepted_tasks_are_counted(tmp_path: Path) -> None:
    rows = [a_row(), a_row(attempt=2), a_row(task=8, state="running", accepted=False)]
    found = Findings()
    an_auditor(tmp_path)._rows(rows, found)

    assert (found.tasks, found.lost, found.accepted_twice) == (2, 1, 1)
    assert found.others == ["task 8 is running (None)"]


def test_who_ran_unasked_and_who_was_accepted_without_having_run_is_seen(tmp_path: Path) -> None:
    found = Findings()
    rows = [a_row(name="only", attempt=1), a_row(task=8, attempt=1)]
    executed = [Execution(7, 1, "agent-2", 1, 2, ended=True), Execution(7, 3, "agent-1", 1.5, 3, ended=True)]
    an_auditor(tmp_path)._book(rows, executed, found)

    assert found.overlaps == 1
    assert sum(word.startswith("ran unasked") for word in found.others) == 2
    assert "accepted without an end: task 8 attempt 1" in found.others


def test_a_published_output_of_another_attempt_is_seen(tmp_path: Path) -> None:
    made = tmp_path / "published" / "run-1" / "0" / "made.txt"
    made.parent.mkdir(parents=True)
    made.write_text("7 1")
    right, wrong, missing = Findings(), Findings(), Findings()
    auditor = an_auditor(tmp_path)
    auditor._published([a_row()], 1, right)
    auditor._published([a_row(attempt=2)], 1, wrong)
    auditor._published([a_row()], 2, missing)

    assert not right.any
    assert wrong.others == ["published is 7 1, accepted is 7 2"]
    assert missing.others == ["published is nothing, accepted is 7 1"]


def test_an_error_in_a_log_is_seen_once_and_a_warning_is_none(tmp_path: Path) -> None:
    log = tmp_path / "coordinator-1.log"
    log.write_text('{"level": "error", "event": "x"}\n{"level": "warning", "event": "y"}\nTraceback (most recent')
    auditor, first, second = an_auditor(tmp_path), Findings(), Findings()
    auditor._logs(first)
    log.rename(tmp_path / "coordinator-1.log.1")
    auditor._logs(second)

    assert len(first.others) == 2
    assert not second.any


def test_the_logs_of_all_lives_are_read_also_when_a_new_file_takes_the_place_of_an_old_one(tmp_path: Path) -> None:
    auditor, found = an_auditor(tmp_path), Findings()
    for life in range(4):
        log = tmp_path / "coordinator-1.log"
        log.write_text(f'{{"at": {life}, "level": "error"}}\n')
        auditor._logs(found)
        log.unlink()  # the next file may have its inode
    (tmp_path / "coordinator-1.log.17").write_text('{"at": 4, "level": "error"}\n')
    auditor._logs(found)

    assert len(found.others) == 5


def test_what_several_jobs_of_a_run_show_is_added_up() -> None:
    both = Findings(tasks=26, lost=1, others=["a"])
    both.add(Findings(tasks=188, accepted_twice=2, overlaps=3, others=["b"]))

    assert both == Findings(tasks=214, lost=1, accepted_twice=2, overlaps=3, others=["a", "b"])


def test_what_a_journal_still_holds_is_named(tmp_path: Path) -> None:
    Journal(tmp_path / "agent-1").close()
    database = sqlite3.connect(tmp_path / "agent-1" / "journal.sqlite")
    database.execute("insert into attempts (task, attempt, state) values (7, 2, 1), (8, 1, 3)")
    database.commit()
    database.close()

    assert open_in_journals(tmp_path) == ["agent-1: task 7 attempt 2 is left in state 1"]
    assert open_in_journals(tmp_path, ["agent-1"]) == []


def test_the_report_says_all_and_its_last_line_the_sum(tmp_path: Path) -> None:
    ill = Findings(tasks=26, lost=2, accepted_twice=1, overlaps=3, others=["task 8 is running (None)"])
    runs = [Run("a", Findings(tasks=26), 1.5, said=("it was slow",)), Run("b", ill, 90.0)]
    runs.append(Run("a", Findings(tasks=26), 3.5))

    page = tmp_path / "faults.md"
    write(page, runs, minutes=3, tasks=TASKS, patience_s=90)

    assert "| a | 2 | 52 | 0 | 0 | 0 | 0 | 2.5, 3.5 |" in table(runs)
    assert "| b | 1 | 26 | 2 | 1 | 3 | 1 | 90.0, 90.0 |" in page.read_text()
    assert "- b: task 8 is running (None)" in page.read_text()
    assert "What it costs:\n\n- a: it was slow\n" in page.read_text()
    assert total(runs) == "3 runs, 2 lost, 1 accepted twice, 3 exclusive overlaps"


def test_a_full_proof_has_at_least_three_hundred_runs_of_faults_with_names_of_their_own() -> None:
    assert sum(fault.runs for fault in FAULTS[1:]) >= 300
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)
    assert 5 <= sum(fault.first for fault in FAULTS) < sum(fault.short for fault in FAULTS)


def test_faults_come_mixed_each_as_often_as_it_should_and_the_same_again_with_the_same_seed() -> None:
    once = list(order(FAULTS, random.Random(1), runs=None, once=False))

    assert Counter(fault.name for fault in once) == {fault.name: fault.runs for fault in FAULTS}
    assert once == list(order(FAULTS, random.Random(1), runs=None, once=False))
    assert len(list(order(FAULTS[:2], random.Random(1), runs=7, once=True))) == 7


def test_each_run_has_a_job_of_its_own_that_can_be_submitted_again(tmp_path: Path) -> None:
    work = a_job(3, tmp_path)

    assert work.spec.key == "run-3"
    assert sum(len(task) for task in work.spec.tasks) == TASKS


def test_a_selection_is_by_words() -> None:
    given = argparse.Namespace(first=False, short=False, only=["coordinator to database", "reset"])
    assert [fault.name for fault in chosen(given)] == ["coordinator to database: reset"]
