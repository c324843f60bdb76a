import base64
import hashlib
import json
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from services.config import Settings
from services.errors import TokenExpired, Unauthenticated
from services.tokens import Claims, Tokens, open_tokens
from services.users import Role

NOW = datetime(2026, 3, 1, 12, 0, 0, 500_000, tzinfo=UTC)
KEY = Ed25519PrivateKey.generate()
TOKENS = Tokens(signing_key=KEY, life_seconds=600)


def issue(tokens: Tokens = TOKENS, *, now: datetime = NOW) -> str:
    token, _ = tokens.issue(user_id="usr_1", session_id="ses_1", roles=[Role.USER, Role.OPERATOR], now=now)
    return token


def forge(key: Any = KEY, algorithm: str = "EdDSA", *, headers: dict[str, Any] | None = None, **changes: object) -> str:
    claims = jwt.decode(issue(), options={"verify_signature": False}) | changes
    kid = jwt.get_unverified_header(issue())["kid"]
    return jwt.encode(
        {name: value for name, value in claims.items() if value is not None},
        key,
        algorithm,
        {"kid": kid, **(headers or {})},
    )


def pem(key: Ed25519PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def embedded(data: Path) -> Settings:
    return Settings(
        mongo_url="mongodb://127.0.0.1:1",
        redis_url="redis://127.0.0.1:1",
        kafka_url="127.0.0.1:1",
        embedded=True,
        data=data,
    )


def test_a_token_says_who_calls() -> None:
    token, expires_at = TOKENS.issue(user_id="usr_1", session_id="ses_1", roles=[Role.USER], now=NOW)

    assert TOKENS.verify(token, NOW) == Claims(
        user_id="usr_1", session_id="ses_1", roles=frozenset({Role.USER}), expires_at=expires_at
    )
    assert timedelta(seconds=600) <= expires_at - NOW < timedelta(seconds=601)


def test_a_token_has_the_registered_claims() -> None:
    claims = jwt.decode(issue(), KEY.public_key(), ["EdDSA"], {"verify_exp": False, "verify_iat": False})

    assert claims == {
        "iss": "parley",
        "sub": "usr_1",
        "sid": "ses_1",
        "roles": ["OPERATOR", "USER"],
        "iat": 1772366400,
        "exp": 1772367001,
    }


def test_a_token_is_told_expired_at_its_end_and_not_before() -> None:
    token, expires_at = TOKENS.issue(user_id="usr_1", session_id="ses_1", roles=[], now=NOW)

    TOKENS.verify(token, expires_at - timedelta(milliseconds=1))
    with pytest.raises(TokenExpired):
        TOKENS.verify(token, expires_at)


def test_a_clock_a_little_ahead_is_forgiven() -> None:
    TOKENS.verify(issue(now=NOW + timedelta(seconds=5)), NOW)

    with pytest.raises(Unauthenticated):
        TOKENS.verify(issue(now=NOW + timedelta(seconds=7)), NOW)


@pytest.mark.parametrize(
    "token",
    [
        "",
        "a.b.c",
        "\ud800",
        "x" * 10_000_000,
        issue() + "x",
        issue().rsplit(".", 1)[0] + ".",
        forge(Ed25519PrivateKey.generate()),
        forge(headers={"kid": "another"}),
        jwt.encode({"sub": "usr_1"}, KEY, "EdDSA"),
        forge(b"0123456789abcdef0123456789abcdef", "HS256"),
        forge(None, "none"),
        forge(generate_private_key(SECP256R1()), "ES256"),
        forge(iss="somebody"),
        forge(roles=["KING"]),
        forge(roles=None),
        forge(sub=None),
        forge(sid=None),
        forge(exp=None),
        forge(iat=None),
        forge(iat="now"),
        base64.urlsafe_b64encode(b"[" * 1_400).decode() + ".e30.e30",
    ],
    ids=range(21),
)
def test_any_other_token_is_refused_without_a_reason(token: str) -> None:
    with pytest.raises(Unauthenticated) as refused:
        TOKENS.verify(token, NOW)

    assert refused.value.message == "The access token is not valid."
    assert refused.value.__suppress_context__


@given(st.text(), st.integers(0, 3))
def test_no_text_breaks_the_verification(text: str, dots: int) -> None:
    header = base64.urlsafe_b64encode(text.encode(errors="surrogatepass")).decode()

    for token in (text, text + "." * dots, f"{header}.{header}.{header}"):
        with pytest.raises(Unauthenticated):
            TOKENS.verify(token, NOW)


def test_an_expired_forgery_is_not_told_expired() -> None:
    with pytest.raises(Unauthenticated):
        TOKENS.verify(forge(Ed25519PrivateKey.generate(), exp=1), NOW)


def test_a_key_goes_out_of_use_without_anybody_noticing() -> None:
    new = Ed25519PrivateKey.generate()
    rotated = Tokens(signing_key=new, verification_keys=[KEY.public_key()], life_seconds=600)

    assert rotated.verify(issue(), NOW).user_id == "usr_1"
    assert rotated.verify(issue(rotated), NOW).user_id == "usr_1"
    with pytest.raises(Unauthenticated):
        TOKENS.verify(issue(rotated), NOW)


def test_the_published_keys_verify_a_token_and_are_public() -> None:
    tokens = Tokens(signing_key=KEY, verification_keys=[Ed25519PrivateKey.generate().public_key()], life_seconds=600)
    published = json.loads(json.dumps(tokens.jwks()))

    keys = jwt.PyJWKSet.from_dict(published)
    key = keys[jwt.get_unverified_header(issue())["kid"]]
    assert jwt.decode(issue(), key, ["EdDSA"], {"verify_exp": False, "verify_iat": False})["sub"] == "usr_1"
    assert len(keys.keys) == 2
    for member in published["keys"]:
        assert set(member) == {"kty", "crv", "x", "kid", "use", "alg"}


def test_a_key_is_named_by_its_thumbprint() -> None:
    raw = KEY.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    x = base64.urlsafe_b64encode(raw).decode().rstrip("=")
    digest = hashlib.sha256(f'{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}'.encode()).digest()

    kid = jwt.get_unverified_header(issue())["kid"]

    assert kid == base64.urlsafe_b64encode(digest).decode().rstrip("=")


def test_processes_that_start_together_make_one_key_that_nobody_else_reads(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as executor:
        opened = list(executor.map(open_tokens, [embedded(tmp_path / "data")] * 8))

    token = issue(opened[0])
    assert all(tokens.verify(token, NOW) for tokens in opened)
    files = list((tmp_path / "data" / "keys").iterdir())
    assert [file.name for file in files] == ["ed25519.pem"]
    assert stat.S_IMODE(files[0].stat().st_mode) == 0o600


def test_a_key_stays_the_same_after_a_restart(tmp_path: Path) -> None:
    token = issue(open_tokens(embedded(tmp_path)))

    assert open_tokens(embedded(tmp_path)).verify(token, NOW).user_id == "usr_1"


def test_keys_are_read_from_the_files_of_the_settings(tmp_path: Path) -> None:
    signing, old = tmp_path / "signing.pem", tmp_path / "old.pem"
    signing.write_bytes(pem(Ed25519PrivateKey.generate()))
    old.write_bytes(KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    settings = embedded(tmp_path).model_copy(update={"signing_key_file": signing, "verification_key_files": (old,)})

    tokens = open_tokens(settings)

    assert tokens.verify(issue(), NOW).user_id == "usr_1"
    assert tokens.verify(issue(tokens), NOW).user_id == "usr_1"
    assert not (tmp_path / "keys").exists()


def test_a_key_of_another_kind_is_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "curve.pem"
    file.write_bytes(generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))

    with pytest.raises(ValueError, match=r"curve\.pem holds no Ed25519 private key"):
        open_tokens(embedded(tmp_path).model_copy(update={"signing_key_file": file}))


def test_outside_the_embedded_stack_the_api_needs_a_key_of_its_own(tmp_path: Path) -> None:
    settings = embedded(tmp_path).model_copy(update={"embedded": False})

    with pytest.raises(ValueError, match="PARLEY_SIGNING_KEY_FILE"):
        open_tokens(settings)
