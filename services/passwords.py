"""Passwords: the rules for new ones, and argon2id in threads of its own, so that logins never block the event loop."""

import asyncio
import secrets
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Self

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from services import handles
from services.errors import InvalidInput, Overloaded

_MIN_LENGTH = 8
_MAX_LENGTH = 256
# OWASP's parameters for argon2id: 19 MiB of memory, 2 passes, 1 lane; about 20 ms each.
_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
_MAX_WAITING = 64  # about a second's work for two threads; whoever comes then is told to come back
_RETRY_AFTER_MS = 1_000


def valid_new(password: str) -> str:
    """Return a password that somebody chose.

    Raises:
        ValueError: it is too short or too long.
    """
    if not _MIN_LENGTH <= len(unicodedata.normalize("NFC", password)) <= _MAX_LENGTH:
        raise ValueError(f"A password has {_MIN_LENGTH} to {_MAX_LENGTH} characters.")
    if any(unicodedata.category(character) == "Cs" for character in password):
        raise ValueError("The password has characters that are no text.")
    return password


def require_unlike(password: str, *, handle: str, path: tuple[str, ...] = ("input", "password")) -> None:
    """Refuse a password that everybody sees.

    Raises:
        InvalidInput: it is the handle.
    """
    if handles.normalised(password) == handle:
        raise InvalidInput("The password must not be the handle.", path)


class Passwords:
    """A bounded pool of threads that hash and verify."""

    def __init__(self, *, threads: int) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="password")
        self._limit = threads + _MAX_WAITING
        self._count = 0  # calls that run or wait
        self._unknown = ""  # hash of a password that nobody has

    async def __aenter__(self) -> Self:
        self._unknown = await self.hash(secrets.token_urlsafe())
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self._executor.shutdown, cancel_futures=True)

    async def hash(self, password: str) -> str:
        """Return the password's hash, with its salt and parameters.

        Raises:
            Overloaded: too many others wait.
        """
        return await self._run(lambda: _HASHER.hash(_secret(password)))

    async def verify(self, password_hash: str | None, password: str) -> bool:
        """Return whether this is the password; None for whoever does not exist takes as long and is never right.

        Raises:
            Overloaded: too many others wait.
        """
        matches = await self._run(lambda: _matches(password_hash or self._unknown, password))
        return matches and password_hash is not None

    async def _run[T](self, work: Callable[[], T]) -> T:
        if self._count >= self._limit:
            raise Overloaded("Too many people are signing in. Try again.", retry_after_ms=_RETRY_AFTER_MS)
        self._count += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, work)
        finally:
            self._count -= 1


def is_outdated(password_hash: str) -> bool:
    """Return whether a hash was made with other parameters than today's."""
    return _HASHER.check_needs_rehash(password_hash)


def _matches(password_hash: str, password: str) -> bool:
    try:
        return _HASHER.verify(password_hash, _secret(password))
    except (VerificationError, InvalidHashError):
        return False


def _secret(password: str) -> bytes:
    # The same characters typed on another keyboard may come in another form.
    return unicodedata.normalize("NFC", password).encode(errors="surrogatepass")
