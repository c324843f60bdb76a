"""How passwords are kept."""

from services.passwords import Passwords


async def test_passwords_are_hashed_with_the_parameters_of_owasp() -> None:
    async with Passwords(threads=1) as passwords:
        first, second = [await passwords.hash("correct horse") for _ in range(2)]

    assert first.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert first != second, "each has a salt of its own"
