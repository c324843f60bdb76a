import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from parley.stack.stack import free_port
from services.config import Settings
from services.epoch import epoch_of
from services.migration import migrate_kafka, migrate_mongo
from services.mongo import Database
from services.topics import PARTITIONS

SECONDS = 30.0


def parley(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **{f"PARLEY_{name.upper()}": value for name, value in variables.items()}}
    return subprocess.run(
        [sys.executable, "-m", "parley", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def urls(mongo: str, kafka: str) -> dict[str, str]:
    return {
        "mongo_url": mongo,
        "mongo_database": f"test_{uuid.uuid4().hex}",
        "redis_url": "redis://127.0.0.1:1",
        "kafka_url": kafka,
    }


async def test_the_epoch_that_a_migration_makes_is_the_one_of_every_process(settings: Settings) -> None:
    made = await migrate_mongo(settings, seconds=SECONDS)
    again = await migrate_mongo(settings, seconds=SECONDS)
    database = Database(settings)
    found = await epoch_of(database)
    database.close()

    assert made == again == found


async def test_a_migration_makes_the_topics_and_leaves_those_that_are_there(
    settings: Settings, kafka_servers: str
) -> None:
    settings = settings.model_copy(update={"kafka_url": kafka_servers})

    await migrate_kafka(settings, seconds=SECONDS)
    await migrate_kafka(settings, seconds=SECONDS)
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka_servers)
    await admin.start()
    topics = await admin.list_topics()
    await admin.close()

    assert set(PARTITIONS) <= set(topics)


async def test_a_migration_without_mongodb_gives_up_in_time(settings: Settings) -> None:
    away = settings.model_copy(update={"mongo_url": f"mongodb://127.0.0.1:{free_port()}"})

    with pytest.raises(TimeoutError):
        await migrate_mongo(away, seconds=0.5)


def test_the_command_needs_no_signing_key_and_can_be_repeated(mongo_url: str, kafka_servers: str) -> None:
    variables = urls(mongo_url, kafka_servers)

    first, second = parley("migrate", **variables), parley("migrate", **variables)

    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert first.stdout == second.stdout
    assert "Kafka is ready" in first.stdout


def test_the_command_succeeds_without_kafka_and_fails_without_mongodb(mongo_url: str) -> None:
    nobody = free_port()

    without_kafka = parley("migrate", "--wait-kafka", "1", **urls(mongo_url, f"127.0.0.1:{nobody}"))
    without_mongo = parley("migrate", "--wait", "1", **urls(f"mongodb://127.0.0.1:{nobody}", f"127.0.0.1:{nobody}"))

    assert without_kafka.returncode == 0, without_kafka.stderr
    assert "Kafka does not answer" in without_kafka.stderr
    assert without_mongo.returncode == 1
    assert "MongoDB does not answer after 1 s" in without_mongo.stderr


def test_the_password_file_is_part_of_what_a_command_uses(mongo_url: str, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("secret")

    # The embedded MongoDB knows no users, so it refuses whoever introduces himself: a real one would let him in.
    refused = parley(
        "migrate",
        "--wait",
        "5",
        **{**urls(mongo_url, "127.0.0.1:1"), "mongo_url": mongo_url.replace("//", "//parley@") + "/?authSource=admin"},
        mongo_password_file=str(file),
    )

    assert refused.returncode == 1
    assert "secret" not in refused.stderr + refused.stdout
