"""Services that are not ours: used, never started, stopped or looked for."""

import pytest

from coordinator.local.errors import LocalServiceError
from coordinator.local.services import Services, Wanted


def test_servers_that_were_given_are_only_passed_on() -> None:
    given = Wanted(database_url="postgresql://there/farm", amqp_url="amqp://there/farm")
    with Services(given) as services:
        assert services.database_url == "postgresql://there/farm"
        assert services.amqp_url == "amqp://there/farm"
        assert services.management_url is None
        assert services.postgres is None
        assert services.rabbitmq is None


async def test_what_was_not_wanted_has_no_address() -> None:
    async with Services(Wanted(postgres=False, rabbitmq=False)) as services:
        with pytest.raises(LocalServiceError, match="not running"):
            _ = services.database_url
        with pytest.raises(LocalServiceError, match="not running"):
            _ = services.amqp_url


def test_services_may_be_stopped_twice_and_before_they_start() -> None:
    services = Services(Wanted(postgres=False, rabbitmq=False))
    services.stop()
    services.start()
    services.stop()
    services.stop()
