"""What an agent says of itself: `worker.online` and `worker.heartbeat`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from schemas.base import MAX_MESSAGE_BYTES
from schemas.task import Held, Phase
from schemas.worker import Duty, MachineStats, WorkerHeartbeat, WorkerOnline
from worker_agent.config import Settings
from worker_agent.leases import boottime
from worker_agent.machine_stats import Sampler, describe_platform, measure_capacity

#: What the envelope takes.
_ENVELOPE_BYTES: Final = 1024
#: As many words of one sort are told.
MOST_WORDS: Final = 64


def software() -> str:
    """Our name and version."""
    try:
        return f"farmhand {version('farmhand')}"
    except PackageNotFoundError:
        return "farmhand (not installed)"


@dataclass(frozen=True, slots=True)
class Offers:
    """What tasks may ask for by name: commands (also in exclusive tasks), secrets, limits."""

    runners: Sequence[str] = ()
    supervises: Sequence[str] = ()
    secrets: Sequence[str] = ()
    enforces: Sequence[str] = ()


class Presence:
    """The facts that do not change while the settings do not; what it offers may."""

    def __init__(self, settings: Settings, offers: Offers, boot_id: str) -> None:
        self._settings = settings
        self._boot_id = boot_id
        self._kinds = settings.kinds or sorted(offers.runners)[:MOST_WORDS]
        self._offers = offers
        self._platform = describe_platform()
        self._capacity = measure_capacity(settings.slots, settings.cpus, settings.memory_mb, settings.gpus)
        self._active_s = boottime()
        self._sampler = Sampler(settings.outputs if settings.outputs.is_dir() else settings.data)

    def offer(self, offers: Offers) -> bool:
        """It offers this from now on; whether that is something else than before."""
        before, self._offers = self._offers, offers
        return before != offers

    def active(self) -> None:
        """Something was done just now."""
        self._active_s = boottime()

    def sample(self) -> MachineStats:
        """How the machine feels; blocks for a moment."""
        return self._sampler.sample()

    def online(self, duty: Duty, holds: list[Held], connection: str) -> bytes:
        """I am here, consume on this *connection*, and hold this; as JSON that fits a message. What gives way first is
        what tasks may ask for by name."""
        settings = self._settings
        event = WorkerOnline(
            boot_id=self._boot_id,
            software=software(),
            platform=self._platform,
            kinds=self._kinds,
            queues=settings.queues,
            tags=settings.tags,
            zone=settings.zone,
            capacity=self._capacity,
            duty=duty,
            can_restart=settings.can_restart,
            supervises=list(self._offers.supervises)[:MOST_WORDS],
            runners=_all(self._offers.runners),
            secrets=_all(self._offers.secrets),
            enforces=_all(self._offers.enforces),
            connection=connection,
            holds=holds,
        )
        # What is not said is not asked for; exclusive tasks are for those who say that they can.
        for field, nothing in (("secrets", None), ("runners", None), ("supervises", [])):
            if _fits(_json(event)):
                break
            event = event.model_copy(update={field: nothing})
        return _fitting(event)

    def heartbeat(self, duty: Duty, holds: list[Held], stats: MachineStats | None) -> bytes:
        """I am alive, and hold this; as JSON that fits a message. What gives way first is the load of each core and the
        GPUs, then all statistics."""
        if holds:
            self.active()
        # However often the machine's clock was set meanwhile.
        active_at = datetime.now(UTC) - timedelta(seconds=boottime() - self._active_s)
        beat = WorkerHeartbeat(
            duty=duty, holds=holds, queues=self._settings.queues, stats=stats, last_activity_at=active_at
        )
        if stats is not None and not _fits(_json(beat)):
            beat = beat.model_copy(update={"stats": stats.model_copy(update={"cores_percent": [], "gpus": []})})
            if not _fits(_json(beat)):
                beat = beat.model_copy(update={"stats": None})
        return _fitting(beat)


def _all(words: Sequence[str]) -> list[str] | None:
    """All of *words*, or none: what is not said is not asked for."""
    return list(words) if len(words) <= MOST_WORDS else None


def _fitting(event: WorkerOnline | WorkerHeartbeat) -> bytes:
    """*event* as JSON, without the oldest finished attempts where it would not fit: they are reported anyway."""
    body = _json(event)
    while not _fits(body):
        finished = [held for held in event.holds if held.phase is Phase.FINISHED]
        dropped = set(map(id, finished[: max(1, len(finished) // 4)]))
        event = event.model_copy(update={"holds": [held for held in event.holds if id(held) not in dropped]})
        body = _json(event)
    return body


def _fits(body: bytes) -> bool:
    return len(body) <= MAX_MESSAGE_BYTES - _ENVELOPE_BYTES


def _json(event: WorkerOnline | WorkerHeartbeat) -> bytes:
    return event.model_dump_json(exclude_none=True).encode()
