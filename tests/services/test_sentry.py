"""What Sentry is told: what failed and where, and nothing that somebody sent."""

import io
import logging
from collections.abc import Iterator

import pytest
import structlog

from parley import logs
from parley.sentry import Sentry
from tests.collector import Collector, collecting
from tests.faults.harness import until

SECRETS = ("a message to nobody else", "eyJhbGciOiJFZERTQSJ9.token", "192.0.2.77", "hunter2")


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    handlers, level, aiokafka = logging.root.handlers[:], logging.root.level, logging.getLogger("aiokafka").level
    before = structlog.get_config()
    yield
    structlog.configure(**before)
    structlog.contextvars.clear_contextvars()
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)
    logging.getLogger("aiokafka").setLevel(aiokafka)


def failing(body: str, token: str, address: str, password: str) -> None:
    try:
        int(f"{body} {token}")
    except ValueError as error:
        raise LookupError(f"{address} {password}") from error


async def test_a_failure_is_told_with_its_place_and_request_and_without_values(collector: Collector) -> None:
    sentry = Sentry(f"http://key@{collector.address}/1", role="api")
    logs.configure(stream=io.StringIO(), report=sentry.report)
    structlog.contextvars.bind_contextvars(request_id="request-12345678", viewer="usr_secret")
    logger = structlog.get_logger()
    try:
        failing(*SECRETS)
    except LookupError:
        logger.exception("request.failed", path="/graphql", body=SECRETS[0])
    await until(lambda: len(collector.bodies) > 0, "it is told")
    told = b"".join(body for _, body in collector.bodies).decode()

    for shown in ("LookupError", "ValueError", "failing", "request-12345678", "request.failed", "parley@"):
        assert shown in told
    for hidden in (*SECRETS, "usr_secret", "127.0.0.1"):
        assert hidden not in told


async def test_what_is_no_failure_is_not_told(collector: Collector) -> None:
    sentry = Sentry(f"http://key@{collector.address}/1", role="api")
    logs.configure(stream=io.StringIO(), report=sentry.report)
    logger = structlog.get_logger()
    logger.warning("relay.waiting", exc_info=OSError("away"))
    logger.error("job.dead_letter", exc_info=RuntimeError("poison"))
    await until(lambda: len(collector.bodies) > 0, "the second is told")
    told = b"".join(body for _, body in collector.bodies).decode()

    assert "job.dead_letter" in told
    assert "relay.waiting" not in told
