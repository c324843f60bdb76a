"""The constraints of inputs: each refusal points at its place, and shows nothing of what was given."""

from typing import Any

import pytest

from services.errors import InvalidInput
from services.inputs import Input, NewConversation, NewMessage, Registration

MESSAGE: dict[str, Any] = {"body": "hello", "client_message_id": "the-id", "attachments": ()}
FILE = {"name": "a.png", "url": "https://files.example/a", "media_type": "image/png", "size_bytes": 1}
REGISTRATION = {"handle": "ada", "password": "correct horse", "display_name": None}


@pytest.mark.parametrize(
    ("model", "given", "path"),
    [
        (NewMessage, {**MESSAGE, "body": "secret" + "\ud800"}, ("body",)),
        (NewMessage, {**MESSAGE, "client_message_id": "secret\n"}, ("clientMessageId",)),
        (NewMessage, {**MESSAGE, "attachments": [FILE, {**FILE, "url": "http://secret"}]}, ("attachments", "1", "url")),
        (NewMessage, {**MESSAGE, "attachments": [{**FILE, "media_type": "secret"}]}, ("attachments", "0", "mediaType")),
        (NewMessage, {**MESSAGE, "attachments": [FILE] * 11}, ("attachments",)),
        (Registration, {**REGISTRATION, "password": "secret"}, ("password",)),
        (Registration, {**REGISTRATION, "handle": "secret one"}, ("handle",)),
        (Registration, {**REGISTRATION, "display_name": "secret\u202e"}, ("displayName",)),
        (
            NewConversation,
            {"title": None, "member_ids": ["secret"] * 101, "client_conversation_id": None},
            ("memberIds",),
        ),
    ],
)
def test_a_refusal_points_at_its_place_and_repeats_nothing(
    model: type[Input], given: dict[str, Any], path: tuple[str, ...]
) -> None:
    with pytest.raises(InvalidInput) as refused:
        model.of(**given)

    assert refused.value.path == ("input", *path)
    assert "secret" not in refused.value.message
    assert refused.value.__suppress_context__


def test_values_come_back_as_they_are_stored() -> None:
    message = NewMessage.of(**{**MESSAGE, "body": "e\u0301", "attachments": [{**FILE, "media_type": "Image/PNG"}]})
    person = Registration.of(handle="Ada", password="correct horse", display_name=" Zoe\u0308 ")

    assert (message.body, message.attachments[0].media_type) == ("é", "image/png")
    assert (person.handle, person.display_name) == ("ada", "Zoë")


def test_no_input_takes_what_it_does_not_know() -> None:
    with pytest.raises(InvalidInput) as refused:
        Registration.of(**REGISTRATION, roles=["ADMIN"])

    assert refused.value.path == ("input", "roles")
