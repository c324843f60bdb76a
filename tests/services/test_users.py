import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from services import ids
from services.errors import Conflict, InvalidInput
from services.mongo import Database
from services.paging import Window, window
from services.users import Role, User, Users

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def users(mongo_database: Database) -> Users:
    return Users(mongo_database)


async def create(users: Users, handle: str, *, now: datetime = NOW) -> User:
    return await users.create(handle=handle, display_name=None, password_hash="hash", roles=[Role.USER], now=now)


async def claim(database: Database, handle: str, *, at: datetime) -> str:
    """Do what a registration that dies after its first write leaves behind; return the user's id."""
    user_id = ids.user()
    await database["handles"].insert_one({"_id": handle, "user": user_id, "at": at})
    return user_id


async def test_a_user_is_found_by_id_and_by_handle(users: Users) -> None:
    made = await users.create(
        handle="Ada", display_name=" Ada Lovelace ", password_hash="hash", roles=[Role.USER, Role.OPERATOR], now=NOW
    )

    assert (made.handle, made.display_name, made.created_at) == ("ada", "Ada Lovelace", NOW)
    assert await users.get(made.id) == made
    assert await users.by_handle("ADA") == made
    assert made.created_at.utcoffset() == timedelta()


async def test_who_does_not_exist_is_not_found(users: Users) -> None:
    assert await users.get(ids.user()) is None
    assert await users.by_handle("nobody") is None
    assert await users.by_handle("no handle at all") is None


async def test_a_handle_without_display_name_shows_itself(users: Users) -> None:
    assert (await create(users, "Ada")).display_name == "ada"


async def test_an_impossible_handle_is_refused(users: Users) -> None:
    with pytest.raises(InvalidInput) as refused:
        await create(users, "a da")

    assert refused.value.path == ("input", "handle")


async def test_a_handle_is_given_once_however_it_is_typed(users: Users) -> None:
    await create(users, "ada")

    with pytest.raises(Conflict) as refused:
        await create(users, "ＡＤＡ", now=NOW + timedelta(days=1))  # noqa: RUF001 — full-width letters

    assert refused.value.path == ("input", "handle")


async def test_of_many_who_want_a_handle_at_once_one_gets_it(users: Users) -> None:
    results = await asyncio.gather(*(create(users, "ada") for _ in range(8)), return_exceptions=True)

    made = [result for result in results if isinstance(result, User)]
    assert len(made) == 1
    assert [type(result) for result in results].count(Conflict) == 7
    assert await users.by_handle("ada") == made[0]


async def test_a_claim_without_its_user_holds_for_a_minute(users: Users, mongo_database: Database) -> None:
    await claim(mongo_database, "ada", at=NOW)

    with pytest.raises(Conflict):
        await create(users, "ada", now=NOW + timedelta(seconds=59))

    made = await create(users, "ada", now=NOW + timedelta(seconds=60))
    assert await users.by_handle("ada") == made


async def test_a_dead_claim_goes_to_one_of_many(users: Users, mongo_database: Database) -> None:
    await claim(mongo_database, "ada", at=NOW - timedelta(minutes=2))

    results = await asyncio.gather(*(create(users, "ada") for _ in range(8)), return_exceptions=True)

    made = [result for result in results if isinstance(result, User)]
    assert len(made) == 1
    assert await users.by_handle("ada") == made[0]


async def test_whoever_died_while_taking_over_a_claim_is_no_hindrance(users: Users, mongo_database: Database) -> None:
    barred = await claim(mongo_database, "ada", at=NOW - timedelta(minutes=2))
    await mongo_database["users"].insert_one({"_id": barred, "barred": True})

    made = await create(users, "ada")

    assert await users.by_handle("ada") == made
    assert await users.get(barred) is None
    assert await users.get_many([barred, made.id]) == {made.id: made}


async def test_a_registration_that_comes_back_too_late_does_not_share_the_handle(
    users: Users, mongo_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow_id = await claim(mongo_database, "ada", at=NOW)
    fast = await create(users, "ada", now=NOW + timedelta(minutes=2))
    monkeypatch.setattr(ids, "user", lambda: slow_id)  # it goes on with the id that it claimed the handle for

    with pytest.raises(Conflict):
        await create(users, "late")

    assert await users.get(slow_id) is None
    assert await users.by_handle("ada") == fast


async def test_many_users_are_read_together(users: Users) -> None:
    made = [await create(users, f"user{number}") for number in range(3)]

    found = await users.get_many([made[0].id, made[2].id, made[0].id, ids.user()])

    assert found == {made[0].id: made[0], made[2].id: made[2]}
    assert await users.get_many([]) == {}


async def test_a_password_is_replaced_only_if_it_is_the_one_that_was_checked(users: Users) -> None:
    made = await create(users, "ada")

    assert await users.change_password_hash(made.id, old="hash", new="new")
    assert not await users.change_password_hash(made.id, old="hash", new="newer")
    found = await users.get(made.id)
    assert found is not None
    assert found.password_hash == "new"


def test_a_user_in_a_log_shows_no_hash() -> None:
    user = User(
        id="usr_1", handle="ada", display_name="Ada", password_hash="$argon2id$", roles=[Role.USER], created_at=NOW
    )

    assert "argon2" not in f"{user!r} {user}"


async def shown(users: Users, text: str, part: Window) -> list[str]:
    return [user.handle for _, user in (await users.search(text, part)).items]


async def test_a_search_passes_over_the_suspended_and_claims_without_a_user(
    users: Users, mongo_database: Database
) -> None:
    for number in range(5):
        made = await create(users, f"ann{number}")
        if number not in {0, 4}:
            await users.set_suspended(made.id, NOW)
    await claim(mongo_database, "ann5", at=NOW)

    first = await users.search("an", window(1, None, None, None))
    (cursor, _), *_ = first.items

    assert await shown(users, "ann", window(None, None, None, None)) == ["ann0", "ann4"]
    assert await shown(users, "ann", window(1, cursor, None, None)) == ["ann4"]
    assert await shown(users, "ann", window(None, None, 2, None)) == ["ann4"]
    assert (await users.search("ann2", window(None, None, None, None))).items == []
