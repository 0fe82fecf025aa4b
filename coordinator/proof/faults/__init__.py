"""`make faults`: a whole farm of real processes is hurt in every way we know, again and again, and counted afterwards.

One farm on real, private services runs small jobs with dependencies and exclusive tasks. In the middle of each job one
fault of `catalog` is done to it and ended; then the job must complete by itself. `audit` reads what every program wrote
down while it ran, every process's log and journal, and the database, and runs the invariant checker. `report` counts.

The same can be run by anybody on their own machine: `python -m coordinator.proof.faults --help`.
"""
