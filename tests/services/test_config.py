from pathlib import Path

import pytest
from pydantic import ValidationError

from services.config import Settings, with_password


def settings(**changes: str | Path) -> Settings:
    given = {"mongo_url": "mongodb://parley@mongo/?replicaSet=rs0", "redis_url": "redis://redis/0", "kafka_url": "k:1"}
    return Settings.model_validate({**given, **changes})


def secret(directory: Path, text: str) -> Path:
    file = directory / "secret"
    file.write_text(text)
    return file


@pytest.mark.parametrize(
    ("url", "whole"),
    [
        ("mongodb://parley@mongo:27017/?replicaSet=rs0", "mongodb://parley:s@mongo:27017/?replicaSet=rs0"),
        ("mongodb://parley@a:1,b:2/parley", "mongodb://parley:s@a:1,b:2/parley"),
        ("mongodb+srv://parley@cluster?w=majority", "mongodb+srv://parley:s@cluster?w=majority"),
        ("redis://redis:6379/0", "redis://:s@redis:6379/0"),
        ("rediss://chat@redis", "rediss://chat:s@redis"),
    ],
)
def test_a_password_joins_the_user_that_the_url_names(url: str, whole: str) -> None:
    assert with_password(url, "s") == whole


def test_passwords_are_read_from_files_and_may_hold_any_character(tmp_path: Path) -> None:
    file = secret(tmp_path, "p@ss/w:rd?\n")

    found = settings(mongo_password_file=file, redis_password_file=file)

    assert found.mongo_url == "mongodb://parley:p%40ss%2Fw%3Ard%3F@mongo/?replicaSet=rs0"
    assert found.redis_url == "redis://:p%40ss%2Fw%3Ard%3F@redis/0"


@pytest.mark.parametrize("text", ["", "\n"])
def test_an_empty_password_file_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValidationError, match="PARLEY_REDIS_PASSWORD_FILE names an empty file"):
        settings(redis_password_file=secret(tmp_path, text))


def test_a_missing_password_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="PARLEY_MONGO_PASSWORD_FILE cannot be read: No such file"):
        settings(mongo_password_file=tmp_path / "nothing")


def test_a_url_with_a_password_takes_no_other(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="PARLEY_REDIS_URL has a password of its own"):
        settings(redis_url="redis://:open@redis", redis_password_file=secret(tmp_path, "closed"))


def test_no_password_shows_in_an_error_or_a_repr(tmp_path: Path) -> None:
    file = secret(tmp_path, "hidden-word")

    with pytest.raises(ValidationError) as caught:
        settings(mongo_password_file=file, kafka_replication="none")

    assert "hidden-word" not in str(caught.value)
    assert "hidden-word" not in repr(settings(mongo_password_file=file, redis_password_file=file))
