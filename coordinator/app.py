"""The composition root: builds a coordinator out of its parts, runs them together, and ends them in order.

Whatever stops it, nothing is lost: what is not committed was not acknowledged.
"""

import asyncio
import contextlib
import gc
import os
import signal
import socket
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from importlib.metadata import version
from typing import Any, Final
from urllib.parse import urlsplit

import platformdirs
import structlog
import uvloop

from coordinator.api import create_app
from coordinator.api.blobs import SHELVES, Blobs
from coordinator.api.door import Door
from coordinator.config import Identity, Settings, is_loopback
from coordinator.doctor import Doctor, Places
from coordinator.domain.access import Auth
from coordinator.duties import (
    canary,
    idleness,
    partitions,
    presence,
    resume,
    retention,
    schedules,
    statistics,
    stuck,
    sweep,
)
from coordinator.duties.periodic import every
from coordinator.gateways import GATEWAYS
from coordinator.gateways.hosting import Place, hosts
from coordinator.gateways.kit import Gate, Gateway
from coordinator.handlers.closings import Closings
from coordinator.handlers.gather import Gatherer
from coordinator.handlers.heartbeats import Heartbeats
from coordinator.handlers.identity import Identities
from coordinator.handlers.logs import Logs
from coordinator.handlers.routes import Receiver
from coordinator.meter import Meter
from coordinator.operations.inbox import Inbox
from coordinator.operations.judging import Silence
from coordinator.operations.lasting import lasting
from coordinator.operations.ports import Delivery, Intake
from coordinator.operations.replay import Desk
from coordinator.operations.roads import Roads
from coordinator.operations.store import StoreUnavailableError
from coordinator.operations.writer import Writer
from coordinator.serving import serving
from coordinator.starting import StartError, gateways_of, require_schema
from coordinator.storage.archive import PostgresArchive
from coordinator.storage.ear import PostgresEar
from coordinator.storage.errands import PostgresErrands
from coordinator.storage.holdings import PostgresHoldings
from coordinator.storage.pool import open_pool
from coordinator.storage.reading import Pool
from coordinator.storage.rolling import Kept, Roller
from coordinator.storage.statistics import Statistics
from coordinator.storage.store import PostgresStore
from coordinator.storage.tokens import Tokens
from coordinator.storage.views import Views
from coordinator.storage.watched import PostgresWatched
from coordinator.telemetry import Telemetry, configure_logging
from coordinator.transport import Broker, BrokerRefusedError, GuestBroker, TopologyError, UndeliveredError
from schemas import topology

log = structlog.get_logger(__name__)

SOFTWARE: Final = f"farmhand {version('farmhand')}"


#: Settings that gateways read.
_FOR_GATEWAYS: Final = {
    "amqp_url",
    "celery_keep_days",
    "celery_prefix",
    "celery_urls",
    "clearml_timeout_s",
    "days_kept_days",
    "flamenco_registration",
    "flamenco_v1_kinds",
    "flamenco_v1_network",
    "flamenco_v1_poll_s",
    "flamenco_variables",
    "hours_kept_days",
    "minutes_kept_days",
    "openwork_stop_url",
    "samples_kept_days",
}
#: Connections for what people read.
READERS: Final = 4
#: Seconds after which the consumer of a queue that may well be empty is rebuilt all the same.
QUIET_S: Final = 600.0


class Coordinator:
    """One coordinator: `run` returns when it was told to `stop`."""

    def __init__(self, settings: Settings, known: Sequence[Gateway] = GATEWAYS) -> None:
        """*known* are the gateways that the settings may name."""
        self.settings = settings
        self._known = known
        self.name = settings.coordinator_id or f"{socket.gethostname()}-{os.getpid()}"
        self.inbox = Inbox()
        self.telemetry = Telemetry(version("farmhand"))
        self.ready = asyncio.Event()
        self._stopping = asyncio.Event()
        self._patience = Silence(settings.heartbeat_s, settings.lost_after_s, settings.reconnect_grace_s)
        self._places: list[Place] = []

    def stop(self) -> None:
        """End in order: take nothing more, commit and acknowledge what is under way, say so to the world."""
        self._stopping.set()

    async def run(self) -> None:
        """Run until stopped. Raises `StartError` when it cannot begin."""
        settings = self.settings
        self._places = gateways_of(settings, self._known)
        await require_schema(settings.database_url)
        pool = await open_pool(settings.database_url)
        try:
            broker = Broker(settings.amqp_url, coordinator=self.name)
            await broker.open()
        except (BrokerRefusedError, TopologyError) as error:
            await pool.close()
            raise StartError(str(error)) from error
        # What people read must never keep the writer from a connection.
        reading = await open_pool(settings.database_url, most=READERS)
        ear, store = PostgresEar(pool, sample_s=settings.sample_s), PostgresStore(pool)
        try:
            await self._work(broker, ear, store, reading, pool)
        finally:
            with contextlib.suppress(StoreUnavailableError):
                await ear.gone(self.name)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(3):
                    await asyncio.gather(pool.close(), reading.close())
            pool.terminate()
            reading.terminate()

    async def _work(self, broker: Broker, ear: PostgresEar, store: PostgresStore, reading: Pool, pool: Pool) -> None:
        settings, inbox, courier = self.settings, self.inbox, broker.courier
        shared = urlsplit(settings.amqp_url).username if settings.identity is Identity.SHARED else None
        identities = Identities(shared, self.telemetry.unknown_events.inc)
        closings = Closings(inbox, self._patience, lambda: broker.name)
        if settings.broker_events_vhost:
            broker.watch(settings.broker_events_vhost, closings.hear)
        receiver = Receiver(inbox, identities, courier, closings.living)
        beats = Gatherer(Heartbeats(ear, inbox, identities, courier, lambda: writer.lease_s).handle, inbox)
        logs = Gatherer(Logs(ear, inbox, identities).handle, inbox)
        intakes: dict[str, Intake] = {
            topology.EVENTS_QUEUE: (listening := broker.consume(topology.EVENTS, receiver.receive)),
            topology.PARKING_QUEUE: broker.consume(topology.PARKING, receiver.receive, idle_s=QUIET_S),
            topology.HEARTBEATS_QUEUE: (hearing := broker.consume(topology.HEARTBEATS, beats.receive)),
            topology.LOGS_QUEUE: broker.consume(topology.LOGS, logs.receive, idle_s=QUIET_S),
        }

        async def settle(deliveries: Sequence[Delivery]) -> None:
            by_queue: dict[str, list[Delivery]] = {}
            for delivery in deliveries:
                by_queue.setdefault(delivery.queue, []).append(delivery)
            for queue, some in by_queue.items():
                await intakes[queue].settle(some)

        meter = Meter(self.telemetry, lambda: (broker.connected, courier.counts))
        self.desk = desk = Desk(inbox, receiver.items)
        shelf = Tokens(reading)

        def health() -> list[str]:
            meter.refresh()
            wrong = [] if writer.healthy else ["the database is not available"]
            return wrong if broker.consuming else [*wrong, "the broker does not deliver"]

        herald = presence.Herald(self.name, SOFTWARE, ear, listening, hearing, broker.standing)
        sweeper = sweep.Sweeper(inbox, self._patience, lambda: herald.steady)
        kept = Kept(
            settings.samples_kept_days, settings.minutes_kept_days, settings.hours_kept_days, settings.days_kept_days
        )
        statistician = statistics.Statistician(Roller(reading, kept))
        archivist = partitions.Archivist(ear, settings.log_retention_days)
        blobs = settings.outputs_dir or platformdirs.user_data_path("farmhand") / "outputs"
        keeper = retention.Retention(
            inbox,
            PostgresArchive(pool),
            Blobs(blobs),
            shelves=SHELVES,
            job_days=settings.job_retention_days,
            archive_days=settings.archive_retention_days,
        )
        clock = schedules.Clock(inbox, ear)
        resumer = resume.Resumer(inbox, ear)
        caretaker = idleness.Caretaker(inbox, settings.remove_workers_after_days)
        web = create_app(
            views=Views(reading),
            ask=desk.ask,
            health=health,
            telemetry=self.telemetry,
            blobs=blobs,
            version=version("farmhand"),
            coordinator=self.name,
            figures=Statistics(reading, sample_days=settings.samples_kept_days),
            tokens=shelf,
            door=a_door(settings, shelf),
            diagnose=a_doctor(settings, self.name, health).diagnose,
            mints={gateway.name: gateway.mint for gateway in self._known if gateway.mint is not None},
        )
        gate = Gate(
            desk.ask,
            shelf,
            PostgresErrands(reading),
            PostgresHoldings(reading),
            web.state.farm,
            ear,
            PostgresWatched(reading),
            settings.model_dump(include=_FOR_GATEWAYS),
            partial(GuestBroker, coordinator=self.name),
            self.telemetry.registry,
        )
        carriers = {
            place.gateway.name: place.gateway.carrier(gate)
            for place in self._places
            if place.gateway.carrier is not None
        }
        roads = Roads(courier, carriers)
        writer = Writer(inbox, store, roads, settle, self._patience, meter, settings.quarantine_below)
        sites = hosts(web, self._places, gate, version("farmhand"), (settings.http_host, settings.http_port))
        async with serving(sites) as hang_up, asyncio.TaskGroup() as group:
            road = group.create_task(lasting(broker.run()))
            works: list[Coroutine[Any, Any, None]] = [
                writer.run(),
                beats.run(intakes[topology.HEARTBEATS_QUEUE]),
                logs.run(intakes[topology.LOGS_QUEUE]),
                herald.run(),
                every(canary.EVERY_S, canary.Canary(self.name, courier).sing, quiet=UndeliveredError),
                every(sweep.EVERY_S, sweeper.sweep),
                every(schedules.EVERY_S, clock.look),
                every(idleness.IDLE_EVERY_S, caretaker.look_for_idle),
                every(idleness.GONE_EVERY_S, caretaker.look_for_gone),
                every(resume.EVERY_S, resumer.resume),
                every(retention.EVERY_S, keeper.keep),
                every(partitions.EVERY_S, archivist.keep),
                every(stuck.EVERY_S, stuck.Usher(ear).look),
                every(statistics.EVERY_S, statistician.keep),
                *(carrier.run() for carrier in carriers.values()),
                *(every(duty.every_s, duty.run) for place in self._places for duty in place.gateway.duties(gate)),
            ]
            parts = [group.create_task(lasting(work)) for work in works]
            self.ready.set()
            log.info("coordinator_ready", coordinator=self.name, http=f"{settings.http_host}:{settings.http_port}")
            await self._stopping.wait()
            log.info("coordinator_stopping", coordinator=self.name)
            broker.stop_receiving()
            # Who has called is still answered: some clients take any answer, even 500, for the last word.
            await hang_up()
            await writer.drain()
            for part in parts:
                part.cancel()
            await broker.close()
            await road


def a_door(settings: Settings, shelf: Tokens) -> Door:
    """Who is let in, as the settings say."""
    exposed = not is_loopback(settings.http_host)
    if settings.auth is Auth.OPEN and exposed:
        log.warning("open_to_all", host=settings.http_host, hint="whoever reaches it can run programs: FARMHAND_AUTH")
    token = settings.api_token.get_secret_value() if settings.api_token else None
    agents = settings.agents_token.get_secret_value() if settings.agents_token else None
    return Door(shelf, bootstrap=token, agents=agents, auth=settings.auth, exposed=exposed)


def a_doctor(settings: Settings, coordinator: str, health: Callable[[], Sequence[str]]) -> Doctor:
    """Who looks at everything for those who ask."""
    management = settings.management_url.get_secret_value() if settings.management_url else None
    places = Places(settings.database_url, settings.amqp_url, management)
    return Doctor(places, by=coordinator, version=version("farmhand"), health=health)


async def _run_until_signal(settings: Settings, known: Sequence[Gateway]) -> None:
    coordinator = Coordinator(settings, known)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, coordinator.stop)
    await coordinator.run()


def run(settings: Settings, known: Sequence[Gateway] = GATEWAYS) -> None:
    """Run a coordinator in this process until SIGTERM or SIGINT. Raises `StartError`."""
    configure_logging(settings.log_level, settings.log_format)  # type: ignore[arg-type]
    _calm_the_collector()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run_until_signal(settings, known))


def _calm_the_collector() -> None:
    """Batches make many values that live as long as their transaction and have no cycles: the default thresholds would
    look through the whole heap several times in a batch (measured: a fifth of the coordinator's time)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 50)
