"""How much time each area of the tests took, beside what it may take: printed at the end of a run.

A plugin of pytest. An area is the first folder under `tests/`. An exceeded budget is shown and does not fail the run:
machines differ.
"""

from collections import defaultdict
from typing import Final

import pytest

#: Seconds on a machine with two cores, added up over the processes that run beside one another: three of them, so that
#: all areas but the containers' together (2,600 s) leave a whole run below fifteen minutes.
BUDGETS_S: Final = {
    "unit": 130,
    "integration": 1400,
    "simulation": 50,
    "faults": 480,
    "gateways": 420,
    "demo": 220,
    "packaging": 80,
    "containers": 300,
}


class Budget:
    """Adds up set-up, call and tear-down of every test, by area."""

    def __init__(self) -> None:
        self._spent: defaultdict[str, float] = defaultdict(float)
        self._tests: defaultdict[str, int] = defaultdict(int)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        folders = report.nodeid.partition("::")[0].split("/")
        area = folders[1] if len(folders) > 2 and folders[0] == "tests" else folders[0]
        self._spent[area] += report.duration
        self._tests[area] += report.when == "call"

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self._spent:
            return
        terminalreporter.section("time by area")
        for area, spent in sorted(self._spent.items()):
            budget = BUDGETS_S.get(area)
            allowed = f"of {budget:4d} s" if budget else "no budget"
            over = "  OVER BUDGET" if budget and spent > budget else ""
            terminalreporter.line(f"{area:<12} {self._tests[area]:5d} tests {spent:7.1f} {allowed}{over}")
