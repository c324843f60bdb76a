import asyncio
import threading
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from argon2 import PasswordHasher, extract_parameters

from services import ids, passwords
from services.accounts import Accounts
from services.bus import Bus
from services.config import Settings
from services.errors import (
    Conflict,
    Forbidden,
    InvalidCredentials,
    InvalidInput,
    NotFound,
    Overloaded,
    TokenExpired,
    Unauthenticated,
)
from services.mongo import Database
from services.passwords import Passwords
from services.redis import Redis
from services.resets import Resets
from services.revocations import Revocations
from services.sessions import Session, Sessions, SignedIn
from services.tokens import Claims, open_tokens
from services.users import Role, User, Users

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PASSWORD = "correct horse battery"
ANOTHER = "staple of another kind"
GRACE = timedelta(seconds=10)
TICK = timedelta(milliseconds=1)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"operators": ("root", "admin")})


@pytest.fixture
async def pool() -> AsyncIterator[Passwords]:
    async with Passwords(threads=2) as pool:
        yield pool


def open_sessions(database: Database, pool: Passwords, settings: Settings) -> Sessions:
    # Only its own: what others have ended is the business of `test_revocations.py`.
    revocations = Revocations(database, Bus(Redis(settings.redis_url), "test"))
    return Sessions(
        database,
        users=Users(database),
        passwords=pool,
        tokens=open_tokens(settings),
        revocations=revocations,
        settings=settings,
    )


@pytest.fixture
def sessions(mongo_database: Database, pool: Passwords, settings: Settings) -> Sessions:
    return open_sessions(mongo_database, pool, settings)


@pytest.fixture
async def another_process(pool: Passwords, settings: Settings) -> AsyncIterator[Sessions]:
    """Sessions over connections of their own, as another instance has them."""
    database = Database(settings)
    yield open_sessions(database, pool, settings)
    database.close()


async def register(
    sessions: Sessions, handle: str = "ada", password: str = PASSWORD, device: str | None = None, now: datetime = NOW
) -> SignedIn:
    return await sessions.register(handle=handle, password=password, display_name=None, device=device, now=now)


async def login(sessions: Sessions, handle: str = "ada", password: str = PASSWORD, now: datetime = NOW) -> SignedIn:
    return await sessions.login(handle=handle, password=password, device="phone", now=now)


async def claims(sessions: Sessions, made: SignedIn) -> Claims:
    return await sessions.authenticate(made.access_token, NOW)


async def reset(sessions: Sessions, token: str, new: str = ANOTHER, now: datetime = NOW) -> SignedIn:
    return await sessions.reset_password(token=token, new=new, device="phone", now=now)


async def stored(sessions: Sessions, session_id: str) -> Session:
    session = await sessions.get(session_id)
    assert session is not None
    return session


async def assert_refused(sessions: Sessions, token: str, now: datetime) -> None:
    with pytest.raises(InvalidCredentials) as refused:
        await sessions.refresh(token, now)
    assert refused.value.path == ("input", "refreshToken")


# Registration and login


async def test_registration_signs_in(sessions: Sessions) -> None:
    made = await sessions.register(
        handle="Ada", password=PASSWORD, display_name="Ada L.", device=" laptop\x00 ", now=NOW
    )

    assert (made.user.handle, made.user.display_name, made.user.roles) == ("ada", "Ada L.", [Role.USER])
    assert made.session.device == "laptop"
    assert made.session.expires_at == NOW + timedelta(days=30)
    assert await stored(sessions, made.session.id) == made.session
    claims = await sessions.authenticate(made.access_token, NOW)
    assert (claims.user_id, claims.session_id) == (made.user.id, made.session.id)
    assert claims.expires_at == made.access_token_expires_at == NOW + timedelta(seconds=600)


async def test_no_secret_is_stored_or_shown(sessions: Sessions, mongo_database: Database) -> None:
    made = await register(sessions)

    documents = [await mongo_database[name].find({}) for name in ("users", "sessions", "handles")]
    secret = made.refresh_token.partition(".")[2]
    for text in (repr(documents), repr(made)):
        assert PASSWORD not in text
        assert secret not in text
        assert secret[:22] not in text
        assert made.access_token not in text


async def test_a_taken_handle_is_a_conflict(sessions: Sessions) -> None:
    await register(sessions)

    with pytest.raises(Conflict) as refused:
        await register(sessions, "ADA")

    assert refused.value.path == ("input", "handle")


@pytest.mark.parametrize(
    ("handle", "password", "at"),
    [
        ("a da", PASSWORD, "handle"),
        ("support", PASSWORD, "handle"),
        ("ada", "seven77", "password"),
        ("ada", "x" * 257, "password"),
        ("ada.lovelace", "Ada.Lovelace", "password"),
        ("ada", "12345678\ud800", "password"),
    ],
)
async def test_a_bad_registration_is_refused_and_leaves_nothing(
    sessions: Sessions, mongo_database: Database, handle: str, password: str, at: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        await register(sessions, handle, password)

    assert refused.value.path == ("input", at)
    assert await mongo_database["handles"].find_one({}) is None


async def test_a_bad_display_name_is_refused_before_the_handle_is_taken(
    sessions: Sessions, mongo_database: Database
) -> None:
    with pytest.raises(InvalidInput):
        await sessions.register(handle="ada", password=PASSWORD, display_name=" ", device=None, now=NOW)

    assert await mongo_database["handles"].find_one({}) is None


async def test_operators_are_those_whom_the_embedded_stack_names(
    sessions: Sessions, mongo_database: Database, pool: Passwords, settings: Settings
) -> None:
    root = await register(sessions, "Root")
    admin = await register(sessions, "admin")

    assert root.user.roles == admin.user.roles == [Role.USER, Role.OPERATOR]
    assert (await sessions.authenticate(root.access_token, NOW)).roles == {Role.USER, Role.OPERATOR}

    file = settings.data / "keys" / "ed25519.pem" if settings.data else None
    change = {"embedded": False, "operators": ("grace",), "signing_key_file": file}
    production = open_sessions(mongo_database, pool, settings.model_copy(update=change))
    assert (await register(production, "grace")).user.roles == [Role.USER]


async def test_each_login_is_a_session_of_its_own(sessions: Sessions) -> None:
    first = await register(sessions)
    second = await login(sessions, "ADA", now=NOW + TICK)
    await register(sessions, "grace")

    assert first.session.id != second.session.id
    assert await sessions.of_user(first.user.id, NOW) == [first.session, second.session]


async def test_a_password_may_be_typed_in_another_form(sessions: Sessions) -> None:
    await register(sessions, password="pa\u0308sswo\u0308rd")

    await login(sessions, password="p\u00e4ssw\u00f6rd")


async def test_a_wrong_password_and_an_unknown_handle_look_the_same(sessions: Sessions) -> None:
    await register(sessions)

    refusals = []
    for handle, password in [
        ("ada", "wrong password"),
        ("nobody", PASSWORD),
        ("no handle", PASSWORD),
        ("ada", "\ud800"),
    ]:
        with pytest.raises(InvalidCredentials) as refused:
            await login(sessions, handle, password)
        refusals.append((refused.value.message, refused.value.path))

    assert len(set(refusals)) == 1


async def test_a_suspended_account_cannot_sign_in_or_renew(sessions: Sessions, mongo_database: Database) -> None:
    made = await register(sessions)
    await mongo_database["users"].update_one({"_id": made.user.id}, {"$set": {"suspendedAt": NOW}})

    with pytest.raises(Forbidden):
        await login(sessions)
    with pytest.raises(InvalidCredentials):
        await login(sessions, password="wrong password")
    await assert_refused(sessions, made.refresh_token, NOW)


async def test_a_hash_with_old_parameters_is_renewed_at_login(sessions: Sessions, mongo_database: Database) -> None:
    made = await register(sessions)
    old = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
    await mongo_database["users"].update_one({"_id": made.user.id}, {"$set": {"passwordHash": old}})

    await login(sessions)

    document = await mongo_database["users"].find_one({"_id": made.user.id})
    assert document is not None
    assert document["passwordHash"].startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    await login(sessions)


# Access tokens


async def test_an_expired_access_token_is_told_from_a_wrong_one(sessions: Sessions) -> None:
    made = await register(sessions)

    with pytest.raises(TokenExpired):
        await sessions.authenticate(made.access_token, NOW + timedelta(seconds=600))
    with pytest.raises(Unauthenticated):
        await sessions.authenticate(made.refresh_token, NOW)


# Refresh tokens


async def test_each_refresh_gives_new_tokens_for_another_thirty_days(sessions: Sessions) -> None:
    made = await register(sessions, device="laptop")
    later = NOW + timedelta(days=29)
    renewed = await sessions.refresh(made.refresh_token, later)
    latest = await sessions.refresh(renewed.refresh_token, later + timedelta(days=29))

    assert latest.user == made.user
    assert latest.session.id == made.session.id
    assert (latest.session.device, latest.session.created_at) == ("laptop", NOW)
    assert latest.session.last_used_at == later + timedelta(days=29)
    assert latest.session.expires_at == later + timedelta(days=59)
    assert await stored(sessions, made.session.id) == latest.session
    assert len({made.refresh_token, renewed.refresh_token, latest.refresh_token}) == 3
    assert (await sessions.authenticate(latest.access_token, latest.session.last_used_at)).session_id == made.session.id


async def test_a_refresh_token_that_was_not_used_expires(sessions: Sessions) -> None:
    made = await register(sessions)

    await assert_refused(sessions, made.refresh_token, NOW + timedelta(days=30))


async def test_a_lost_reply_does_not_end_the_session(sessions: Sessions) -> None:
    made = await register(sessions)
    await sessions.refresh(made.refresh_token, NOW)

    again = await sessions.refresh(made.refresh_token, NOW + GRACE)

    await sessions.refresh(again.refresh_token, NOW + timedelta(minutes=9))


async def test_either_of_two_successors_goes_on_and_then_the_other_is_theft(sessions: Sessions) -> None:
    made = await register(sessions)
    first = await sessions.refresh(made.refresh_token, NOW)
    second = await sessions.refresh(made.refresh_token, NOW + TICK)
    latest = await sessions.refresh(first.refresh_token, NOW + timedelta(minutes=9))

    await assert_refused(sessions, second.refresh_token, NOW + timedelta(minutes=9))
    await assert_refused(sessions, latest.refresh_token, NOW + timedelta(minutes=9))


async def test_a_third_use_within_the_grace_is_refused_and_ends_nothing(sessions: Sessions) -> None:
    made = await register(sessions)
    await sessions.refresh(made.refresh_token, NOW)
    second = await sessions.refresh(made.refresh_token, NOW)

    await assert_refused(sessions, made.refresh_token, NOW + GRACE)

    await sessions.refresh(second.refresh_token, NOW + GRACE)


async def test_a_token_shown_again_after_the_grace_ends_the_session(sessions: Sessions) -> None:
    made = await register(sessions)
    renewed = await sessions.refresh(made.refresh_token, NOW)
    late = NOW + GRACE + TICK

    await assert_refused(sessions, made.refresh_token, late)

    assert (await stored(sessions, made.session.id)).revoked_at == late
    await assert_refused(sessions, renewed.refresh_token, late)
    assert await sessions.of_user(made.user.id, late) == []


async def test_a_token_shown_again_after_its_successor_ends_the_session(sessions: Sessions) -> None:
    made = await register(sessions)
    renewed = await sessions.refresh(made.refresh_token, NOW)
    latest = await sessions.refresh(renewed.refresh_token, NOW)

    await assert_refused(sessions, made.refresh_token, NOW)
    await assert_refused(sessions, latest.refresh_token, NOW)


async def test_theft_of_one_session_leaves_the_others(sessions: Sessions) -> None:
    made = await register(sessions)
    other = await login(sessions)
    await sessions.refresh(made.refresh_token, NOW)
    await assert_refused(sessions, made.refresh_token, NOW + timedelta(minutes=1))

    await sessions.refresh(other.refresh_token, NOW + timedelta(minutes=1))


async def test_tokens_that_never_were_are_refused_and_end_nothing(sessions: Sessions) -> None:
    made = await register(sessions)
    session_id, _, secret = made.refresh_token.partition(".")
    nobody = ids.session(ids.user())

    for token in (
        "",
        ".",
        "x",
        "\ud800",
        session_id,
        f"{session_id}.",
        f"{session_id}.{'A' * 65}",
        f"{nobody}.{secret}",
    ):
        await assert_refused(sessions, token, NOW)

    await sessions.refresh(made.refresh_token, NOW)


async def test_instances_that_refresh_with_one_token_at_once_keep_the_session(
    sessions: Sessions, another_process: Sessions
) -> None:
    made = await register(sessions)

    for round_ in range(5):
        uses = (instance.refresh(made.refresh_token, NOW) for instance in [sessions, another_process] * 4)
        results = await asyncio.gather(*uses, return_exceptions=True)

        successes = [result for result in results if isinstance(result, SignedIn)]
        assert len(successes) == 2
        assert [type(result) for result in results].count(InvalidCredentials) == 6
        made = successes[round_ % 2]
    assert (await stored(sessions, made.session.id)).revoked_at is None


async def test_a_session_that_ends_while_it_is_renewed_gives_no_tokens(
    sessions: Sessions, another_process: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await register(sessions)
    read_user = Users.get

    async def end_and_read_user(users: Users, user_id: str) -> User | None:
        await another_process.logout(made.session.id, NOW)
        return await read_user(users, user_id)

    monkeypatch.setattr(Users, "get", end_and_read_user)

    await assert_refused(sessions, made.refresh_token, NOW)


async def test_a_refresh_that_races_the_end_of_its_session_brings_nothing_back(
    sessions: Sessions, another_process: Sessions
) -> None:
    for number in range(5):
        made = await register(sessions, f"user{number}")

        result, _ = await asyncio.gather(
            sessions.refresh(made.refresh_token, NOW),
            another_process.logout(made.session.id, NOW),
            return_exceptions=True,
        )

        assert isinstance(result, SignedIn | InvalidCredentials)
        await assert_refused(sessions, made.refresh_token, NOW)
        assert (await stored(sessions, made.session.id)).revoked_at == NOW


# Logout


async def test_after_logout_the_session_is_over(sessions: Sessions) -> None:
    made = await register(sessions)
    other = await login(sessions)

    await sessions.logout(made.session.id, NOW)
    await sessions.logout(made.session.id, NOW + timedelta(hours=1))

    assert (await stored(sessions, made.session.id)).revoked_at == NOW
    await assert_refused(sessions, made.refresh_token, NOW)
    assert await sessions.of_user(made.user.id, NOW) == [other.session]


async def test_what_is_no_session_id_names_no_session(sessions: Sessions) -> None:
    assert await sessions.get("ses_\ud800") is None
    assert await sessions.get(ids.user()) is None
    await sessions.logout(ids.session(ids.user()), NOW)


# Revoking


async def test_only_ones_own_session_is_revoked_and_again_changes_nothing(sessions: Sessions) -> None:
    made, other = await register(sessions), await login(sessions)
    grace = await register(sessions, "grace")
    ada = await claims(sessions, made)

    for unknown in (grace.session.id, ids.session(made.user.id), "ses_1", "", made.user.id):
        with pytest.raises(NotFound) as refused:
            await sessions.revoke(ada, unknown, NOW)
        assert refused.value.path == ("input", "sessionId")
    await sessions.revoke(ada, other.session.id, NOW)
    await sessions.revoke(ada, other.session.id, NOW + TICK)

    assert (await stored(sessions, other.session.id)).revoked_at == NOW
    assert await sessions.of_user(made.user.id, NOW) == [made.session]
    assert await sessions.of_user(grace.user.id, NOW) == [grace.session]


# Changing the password


async def test_a_changed_password_ends_the_other_sessions_and_every_older_token(sessions: Sessions) -> None:
    made, other, grace = await register(sessions), await login(sessions), await register(sessions, "grace")
    renewed = await sessions.refresh(made.refresh_token, NOW)

    changed = await sessions.change_password(await claims(sessions, made), current=PASSWORD, new=ANOTHER, now=NOW)

    assert changed.session.id == made.session.id
    assert await sessions.of_user(made.user.id, NOW) == [changed.session]
    for token in (made.refresh_token, renewed.refresh_token, other.refresh_token):
        await assert_refused(sessions, token, NOW)
    await sessions.refresh(changed.refresh_token, NOW)
    await sessions.refresh(grace.refresh_token, NOW)
    await login(sessions, password=ANOTHER)
    with pytest.raises(InvalidCredentials):
        await login(sessions)


@pytest.mark.parametrize(
    ("current", "new", "error", "at"),
    [
        ("wrong password", ANOTHER, InvalidCredentials, "currentPassword"),
        ("wrong password", "short", InvalidCredentials, "currentPassword"),
        (PASSWORD, "short", InvalidInput, "newPassword"),
        (PASSWORD, "ada.lovelace", InvalidInput, "newPassword"),
    ],
)
async def test_a_refused_change_of_the_password_changes_nothing(
    sessions: Sessions, current: str, new: str, error: type[InvalidCredentials | InvalidInput], at: str
) -> None:
    made = await register(sessions, "ada.lovelace")
    other = await login(sessions, "ada.lovelace")

    with pytest.raises(error) as refused:
        await sessions.change_password(await claims(sessions, made), current=current, new=new, now=NOW)

    assert refused.value.path == ("input", at)
    assert await sessions.of_user(made.user.id, NOW) == [made.session, other.session]
    await login(sessions, "ada.lovelace")


async def test_a_session_that_is_over_changes_no_password(sessions: Sessions) -> None:
    made = await register(sessions)
    await sessions.logout(made.session.id, NOW)

    with pytest.raises(Unauthenticated):
        await sessions.change_password(await claims(sessions, made), current=PASSWORD, new=ANOTHER, now=NOW)

    await login(sessions)


async def test_a_suspended_account_changes_no_password(sessions: Sessions, mongo_database: Database) -> None:
    made = await register(sessions)
    token = await Resets(mongo_database).create(made.user.id, NOW)
    await mongo_database["users"].update_one({"_id": made.user.id}, {"$set": {"suspendedAt": NOW}})

    with pytest.raises(Forbidden):
        await sessions.change_password(await claims(sessions, made), current=PASSWORD, new=ANOTHER, now=NOW)
    with pytest.raises(Forbidden):
        await reset(sessions, token)


async def test_of_two_changes_at_once_one_wins_and_one_session_is_left(
    sessions: Sessions, another_process: Sessions
) -> None:
    made, other = await register(sessions), await login(sessions)
    changes = [
        instance.change_password(await claims(sessions, of), current=PASSWORD, new=new, now=NOW)
        for instance, of, new in ((sessions, made, ANOTHER), (another_process, other, ANOTHER[::-1]))
    ]

    results = await asyncio.gather(*changes, return_exceptions=True)

    (winner,) = [result for result in results if isinstance(result, SignedIn)]
    assert {type(result) for result in results} == {SignedIn, InvalidCredentials}
    assert await sessions.of_user(made.user.id, NOW) == [winner.session]


async def test_a_login_with_the_old_password_that_races_the_change_leaves_no_session(
    sessions: Sessions, another_process: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await register(sessions)
    verify, change = Passwords.verify, another_process.change_password
    caller = await claims(sessions, made)

    async def verify_and_change(pool: Passwords, password_hash: str | None, password: str) -> bool:
        matches = await verify(pool, password_hash, password)
        monkeypatch.undo()
        await change(caller, current=PASSWORD, new=ANOTHER, now=NOW)
        return matches

    monkeypatch.setattr(Passwords, "verify", verify_and_change)
    with pytest.raises(InvalidCredentials):
        await login(sessions)

    assert [session.id for session in await sessions.of_user(made.user.id, NOW)] == [made.session.id]


# Resetting the password


async def test_a_login_that_races_the_suspension_leaves_no_session(
    sessions: Sessions, mongo_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await register(sessions)
    verify = Passwords.verify

    async def verify_and_suspend(pool: Passwords, password_hash: str | None, password: str) -> bool:
        monkeypatch.undo()
        matches = await verify(pool, password_hash, password)
        await Accounts(mongo_database).suspend(made.user.handle, NOW)
        return matches

    monkeypatch.setattr(Passwords, "verify", verify_and_suspend)
    with pytest.raises(Forbidden):
        await login(sessions)

    assert await sessions.of_user(made.user.id, NOW) == []


async def test_a_reset_ends_all_sessions_and_signs_in(sessions: Sessions, mongo_database: Database) -> None:
    made, other = await register(sessions), await login(sessions)
    token = await Resets(mongo_database).create(made.user.id, NOW)

    signed_in = await reset(sessions, token, now=NOW + timedelta(hours=1) - TICK)

    assert token not in repr(await mongo_database["resets"].find({}))
    assert signed_in.session.id not in {made.session.id, other.session.id}
    assert await sessions.of_user(made.user.id, NOW) == [signed_in.session]
    await login(sessions, password=ANOTHER)
    for before in (made, other):
        await assert_refused(sessions, before.refresh_token, NOW)


async def test_a_bad_expired_or_used_reset_token_is_refused_and_changes_nothing(
    sessions: Sessions, mongo_database: Database
) -> None:
    made = await register(sessions)
    resets = Resets(mongo_database)
    expired = await resets.create(made.user.id, NOW - timedelta(hours=1))
    used = await resets.create(made.user.id, NOW)
    latest = await reset(sessions, used)

    for token in (expired, used, "", "made up", "\ud800"):
        with pytest.raises(InvalidCredentials) as refused:
            await reset(sessions, token, PASSWORD)
        assert refused.value.path == ("input", "token")
    assert await sessions.of_user(made.user.id, NOW) == [latest.session]
    await login(sessions, password=ANOTHER)


async def test_an_unfit_password_leaves_the_reset_token_good(sessions: Sessions, mongo_database: Database) -> None:
    made = await register(sessions)
    token = await Resets(mongo_database).create(made.user.id, NOW)

    with pytest.raises(InvalidInput) as refused:
        await reset(sessions, token, "short")

    assert refused.value.path == ("input", "newPassword")
    await reset(sessions, token)


async def test_of_processes_that_use_one_reset_token_at_once_one_succeeds(
    sessions: Sessions, another_process: Sessions, mongo_database: Database
) -> None:
    made = await register(sessions)

    for _ in range(3):
        token = await Resets(mongo_database).create(made.user.id, NOW)
        choices = [f"{ANOTHER} {number}" for number in range(4)]
        uses = [
            reset(instance, token, new) for instance, new in zip([sessions, another_process] * 2, choices, strict=True)
        ]
        results = await asyncio.gather(*uses, return_exceptions=True)

        (winner,) = [number for number, result in enumerate(results) if isinstance(result, SignedIn)]
        assert [type(result) for result in results].count(InvalidCredentials) == 3
        assert len(await sessions.of_user(made.user.id, NOW)) == 1
        await login(sessions, password=choices[winner])


# Passwords


async def test_a_password_matches_its_hash_and_nobodys(pool: Passwords) -> None:
    password_hash = await pool.hash(PASSWORD)

    assert await pool.verify(password_hash, PASSWORD)
    assert not await pool.verify(password_hash, PASSWORD + "x")
    assert not await pool.verify("no hash", PASSWORD)
    assert not await pool.verify(None, PASSWORD)
    assert not passwords.is_outdated(password_hash)


async def test_verifying_for_nobody_does_the_same_work(pool: Passwords, monkeypatch: pytest.MonkeyPatch) -> None:
    matches, verified = passwords._matches, list[str]()

    def seen(password_hash: str, password: str) -> bool:
        verified.append(password_hash)
        return matches(password_hash, password)

    monkeypatch.setattr(passwords, "_matches", seen)
    await pool.verify(await pool.hash(PASSWORD), "wrong password")
    nobody = await pool.verify(None, "wrong password")

    assert not nobody
    assert extract_parameters(verified[1]) == extract_parameters(verified[0])


async def test_too_many_at_once_are_told_to_come_back() -> None:
    async with Passwords(threads=1) as pool:
        results = await asyncio.gather(*(pool.hash(PASSWORD) for _ in range(70)), return_exceptions=True)

        refused = [result for result in results if isinstance(result, Overloaded)]
        assert len(refused) == 5
        assert refused[0].retryable
        assert refused[0].retry_after_ms == 1_000
        assert await pool.hash(PASSWORD)


async def test_no_thread_outlives_the_pool() -> None:
    async with Passwords(threads=2) as pool:
        await pool.hash(PASSWORD)

    assert not [thread for thread in threading.enumerate() if thread.name.startswith("password")]
