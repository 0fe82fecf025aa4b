"""Workers that fail everywhere are quarantined. Asked only about those that have just failed something alone."""

from coordinator.domain import health
from coordinator.operations import states
from coordinator.operations.ledger import Ledger
from coordinator.operations.store import Transaction


async def judge(tx: Transaction, ledger: Ledger, quarantine_below: float) -> bool:
    """Quarantine the suspects of this transaction that are unfit; whether any is. Their failures are saved already."""
    suspects = [name for name in sorted(ledger.suspects) if name in ledger.workers]
    ledger.suspects.clear()
    if not suspects or quarantine_below <= 0:
        return False
    found = await tx.evidence(suspects, ledger.now)
    unfit = [name for name in suspects if health.is_unfit(found[name], quarantine_below)]
    if not unfit:
        return False
    workers = await tx.workers_here()
    changed = False
    for name in unfit:
        worker = ledger.workers[name]
        if health.has_others(worker, workers):
            reason = health.told(found[name])
            changed = states.quarantine(ledger, worker, by="farmhand", reason=reason) or changed
    return changed
