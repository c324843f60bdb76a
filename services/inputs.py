"""What callers may give: one set of constraints for each input, and the one form in which each value is stored.

Whatever breaks a constraint is `InvalidInput` and points at its place in the input. What depends on what is stored is
no constraint; it is decided where that is read.
"""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from services import content, handles, passwords
from services.errors import InvalidInput

CLIENT_ID_CHARACTERS: Final = 64
USERS_IN_A_CALL: Final = 100


class Input(BaseModel):
    """Values that fit; made by `of`, of what somebody gave."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        from_attributes=True,
        hide_input_in_errors=True,
        alias_generator=to_camel,
        validate_by_name=True,
        arbitrary_types_allowed=True,
    )

    @classmethod
    def of(cls, **given: object) -> Self:
        """Return the values in the form in which they are stored.

        Raises:
            InvalidInput: one does not fit.
        """
        try:
            return cls.model_validate(given, by_name=True)
        except ValidationError as error:
            first: Any = error.errors(include_url=False, include_input=False)[0]
            said = first.get("ctx", {}).get("error")
            # What is left to pydantic itself is text that is none, for it has half of a surrogate pair.
            message = "This does not fit." if said is None else str(said)
            raise InvalidInput(message, ("input", *map(_named, first["loc"]))) from None


def _named(part: object) -> str:
    return to_camel(part) if isinstance(part, str) else str(part)


def client_id(value: str) -> str:
    """Return an id made by a client.

    Raises:
        ValueError: it is not 1 to 64 printable ASCII characters.
    """
    if not 1 <= len(value) <= CLIENT_ID_CHARACTERS or not value.isascii() or not value.isprintable():
        raise ValueError(f"An id has 1 to {CLIENT_ID_CHARACTERS} printable ASCII characters.")
    return value


def at_most(count: int, what: str) -> Callable[[Sequence[Any]], Sequence[Any]]:
    """Return what refuses a longer list."""

    def check(values: Sequence[Any]) -> Sequence[Any]:
        if len(values) > count:
            raise ValueError(f"At most {count} {what} at once.")
        return values

    return check


type Handle = Annotated[str, AfterValidator(handles.valid)]
type DisplayName = Annotated[str, AfterValidator(handles.display_name)]
type NewPassword = Annotated[str, AfterValidator(passwords.valid_new)]
type ClientId = Annotated[str, AfterValidator(client_id)]
type Title = Annotated[str, AfterValidator(content.valid_title)]
type Body = Annotated[str, AfterValidator(content.valid_body)]
type Emoji = Annotated[str, AfterValidator(content.valid_emoji)]
type Reason = Annotated[str, AfterValidator(content.valid_reason)]
type Note = Annotated[str, AfterValidator(content.valid_note)]
type Picture = Annotated[str, AfterValidator(content.valid_picture)]
type UserIds = Annotated[tuple[str, ...], AfterValidator(at_most(USERS_IN_A_CALL, "people"))]


class NewUser(Input):
    handle: Handle
    display_name: DisplayName | None


class Registration(NewUser):
    password: NewPassword


class PasswordChange(Input):
    new_password: NewPassword


class ProfileChange(Input):
    display_name: DisplayName | None = None
    avatar_url: Picture | None = None
    share_presence: bool | None = None


class NewConversation(Input):
    title: Title | None
    member_ids: UserIds
    client_conversation_id: ClientId | None


class ConversationChange(Input):
    title: Title | None = None
    archived: bool | None = None


class NewMembers(Input):
    user_ids: UserIds


class NewAttachment(Input):
    name: Annotated[str, AfterValidator(content.valid_file_name)]
    url: Annotated[str, AfterValidator(content.valid_file_url)]
    media_type: Annotated[str, AfterValidator(content.valid_media_type)]
    size_bytes: Annotated[int, AfterValidator(content.valid_size)]


class NewMessage(Input):
    body: Body
    client_message_id: ClientId
    attachments: Annotated[tuple[NewAttachment, ...], AfterValidator(at_most(content.ATTACHMENTS, "files"))]


class MessageEdit(Input):
    body: Body


class NewReaction(Input):
    emoji: Emoji


class Report(Input):
    reason: Reason


class Resolution(Input):
    note: Note | None
