"""Signing in with tokens of an external issuer, which is a real one, over HTTP."""

import asyncio
import base64
import json
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from services.errors import InvalidCredentials, Unavailable
from services.oidc import ANEW_SECONDS, KEYS_SECONDS, Issuer
from tests.api.test_operators import events, with_role
from tests.api.test_people import parley_user
from tests.clients import Api, Json, Person
from tests.local_api import local_api
from tests.stack_process import StackProcess

AUDIENCE = "parley-client"
LOGIN = """mutation ($input: LoginWithTokenInput!) { loginWithToken(input: $input) {
  user { id handle displayName } session { id device } accessToken refreshToken
  userErrors { code message path } } }"""


class LocalIssuer:
    """An issuer on this machine: discovery, keys, and tokens."""

    def __init__(self) -> None:
        self.keys: dict[str, Any] = {"one": rsa.generate_private_key(public_exponent=65_537, key_size=2_048)}
        self.questions = 0  # for keys
        self.answers = True
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self.server.server_port}/realm"
        self.claimed = self.url  # as whom it introduces itself

    def _handler(issuer) -> type[BaseHTTPRequestHandler]:  # noqa: N805
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                content = issuer.document(self.path)
                self.send_response(200 if content is not None else 500)
                self.send_header("content-type", "application/json")
                self.end_headers()
                self.wfile.write(json.dumps(content).encode())

            def log_message(self, *_: Any) -> None:
                pass

        return Handler

    def document(self, path: str) -> Any:
        if not self.answers:
            return None
        if path == "/realm/.well-known/openid-configuration":
            return {"issuer": self.claimed, "jwks_uri": f"{self.url}/keys"}
        self.questions += 1
        return {
            "keys": [self._jwk(key_id, key) for key_id, key in self.keys.items()] + [{"kty": "oct", "k": "c2VjcmV0"}]
        }

    def _jwk(self, key_id: str, key: Any) -> Json:
        algorithm: Any = (
            jwt.algorithms.RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else jwt.algorithms.ECAlgorithm
        )
        return {**algorithm.to_jwk(key.public_key(), as_dict=True), "kid": key_id, "use": "sig"}

    def token(
        self, subject: str = "", *, key_id: str = "one", key: Any = None, algorithm: str = "RS256", **claims: Any
    ) -> str:
        present = int(time.time())
        content = {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": subject or uuid.uuid4().hex,
            "iat": present,
            "exp": present + 300,
            **claims,
        }
        content = {name: value for name, value in content.items() if value is not None}
        return jwt.encode(content, key or self.keys[key_id], algorithm, headers={"kid": key_id})


@pytest.fixture
def issuer() -> Iterator[LocalIssuer]:
    issuer = LocalIssuer()
    thread = threading.Thread(target=issuer.server.serve_forever)
    thread.start()
    yield issuer
    issuer.server.shutdown()
    issuer.server.server_close()
    thread.join()


@pytest.fixture
async def local(stack: StackProcess, issuer: LocalIssuer) -> AsyncIterator[Api]:
    """An API process that believes the issuer."""
    async with local_api(stack, oidc_issuer=issuer.url, oidc_audience=AUDIENCE) as api, Api(api.url) as client:
        yield client


async def login(api: Api, token: str, device: str | None = None) -> Any:
    response = await api.post(LOGIN, {"input": {"idToken": token, "device": device}})
    assert "errors" not in response, response
    return response["data"]["loginWithToken"]


async def test_a_token_signs_in_with_one_account_for_each_subject(
    api: Api, local: Api, stack: StackProcess, issuer: LocalIssuer
) -> None:
    name = f"ann{uuid.uuid4().hex[:12]}"
    fields = {"preferred_username": name.upper(), "name": "Ann Smith"}
    first = await login(local, issuer.token("ann", **fields), "phone")
    again = await login(local, issuer.token("ann", preferred_username="other"))
    another = await login(local, issuer.token("bob", **fields))
    operator = await with_role(api, stack, "OPERATOR")

    person = Person(api, name, first["user"]["id"], first["accessToken"], first["refreshToken"])
    conversation = await person.talk(operator)
    found = await events(operator, user=person.id, kind="SIGNED_IN")

    assert (first["user"]["handle"], first["user"]["displayName"]) == (name, "Ann Smith")
    assert first["session"]["device"] == "phone"
    assert again["user"] == first["user"]
    assert another["user"]["id"] != first["user"]["id"]
    assert another["user"]["handle"].startswith(f"{name}_")
    assert (await person.send(conversation["id"], "hello"))["userErrors"] == []
    assert [event["detail"] for event in found] == ["external issuer"] * 2


async def test_of_many_first_sign_ins_at_once_one_account_comes(local: Api, issuer: LocalIssuer) -> None:
    name = f"cleo{uuid.uuid4().hex[:12]}"

    payloads = await asyncio.gather(*(login(local, issuer.token("cleo", preferred_username=name)) for _ in range(8)))

    assert {payload["user"]["handle"] for payload in payloads} == {name}
    assert len({payload["user"]["id"] for payload in payloads}) == 1


@pytest.mark.parametrize("name", [None, "admin", "a b", "x", "deleted-usr"])
async def test_a_name_that_nobody_may_have_becomes_another(local: Api, issuer: LocalIssuer, name: str | None) -> None:
    payload = await login(local, issuer.token(preferred_username=name, name="\u202e"))

    assert payload["user"]["handle"].startswith("user_")
    assert payload["user"]["displayName"] == payload["user"]["handle"]


def unsigned(issuer: LocalIssuer) -> str:
    token = issuer.token()
    header = base64.urlsafe_b64encode(json.dumps({"alg": "none", "kid": "one"}).encode()).decode().rstrip("=")
    return f"{header}.{token.split('.')[1]}."


def signed_with_what_is_public(issuer: LocalIssuer) -> str:
    key = issuer.keys["one"].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    token = issuer.token()
    header = base64.urlsafe_b64encode(json.dumps({"alg": "HS256", "kid": "one"}).encode()).decode().rstrip("=")
    signed = f"{header}.{token.split('.')[1]}"
    algorithm = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    signature = base64.urlsafe_b64encode(algorithm.sign(signed.encode(), key)).decode().rstrip("=")
    return f"{signed}.{signature}"


REFUSED: dict[str, Callable[[LocalIssuer], str]] = {
    "another audience": lambda issuer: issuer.token(aud="another"),
    "no audience": lambda issuer: issuer.token(aud=None),
    "another client among audiences": lambda issuer: issuer.token(aud=[AUDIENCE, "another"], azp="another"),
    "another issuer": lambda issuer: issuer.token(iss="https://example.org"),
    "expired": lambda issuer: issuer.token(exp=int(time.time()) - 60),
    "no end": lambda issuer: issuer.token(exp=None),
    "from the future": lambda issuer: issuer.token(iat=int(time.time()) + 600),
    "not yet": lambda issuer: issuer.token(nbf=int(time.time()) + 600),
    "no subject": lambda issuer: issuer.token(sub=None),
    "a subject that is empty": lambda issuer: issuer.token(sub=""),
    "a subject that is too long": lambda issuer: issuer.token("x" * 256),
    "no signature": unsigned,
    "signed with the public key": signed_with_what_is_public,
    "signed with a secret that the issuer lists": lambda issuer: issuer.token(key="secret" * 8, algorithm="HS256"),
    "signed by somebody else": lambda issuer: issuer.token(key=rsa.generate_private_key(65_537, 2_048)),
    "a key that nobody knows": lambda issuer: issuer.token(
        key_id="two", key=ec.generate_private_key(ec.SECP256R1()), algorithm="ES256"
    ),
    "another's words": lambda issuer: ".".join((*issuer.token("a").split(".")[:2], issuer.token("b").split(".")[2])),
    "no token": lambda _: "nothing",
    "nothing": lambda _: "",
    "too long": lambda issuer: issuer.token(name="x" * 20_000),
}


async def test_a_token_that_is_not_the_issuers_for_us_signs_nobody_in(
    api: Api, local: Api, stack: StackProcess, issuer: LocalIssuer
) -> None:
    operator = await with_role(api, stack, "OPERATOR")
    payloads = {case: await login(local, token(issuer)) for case, token in REFUSED.items()}

    for case, payload in payloads.items():
        assert (case, payload["user"], payload["accessToken"]) == (case, None, None)
        (error,) = payload["userErrors"]
        assert (case, error["code"], error["path"]) == (case, "INVALID_CREDENTIALS", ["input", "idToken"])
    assert {event["detail"] for event in await events(operator, kind="SIGN_IN_FAILED", first=len(REFUSED))} >= {
        "external issuer"
    }
    assert (await login(local, issuer.token()))["userErrors"] == []


async def test_a_suspended_account_signs_in_with_no_token_and_an_erased_person_is_new(
    local: Api, stack: StackProcess, issuer: LocalIssuer
) -> None:
    subject = uuid.uuid4().hex
    user = (await login(local, issuer.token(subject)))["user"]
    parley_user("suspend", user["handle"], data=stack.directory)
    suspended = await login(local, issuer.token(subject))
    parley_user("restore", user["handle"], data=stack.directory)
    restored = await login(local, issuer.token(subject))
    parley_user("erase", user["handle"], "--yes", data=stack.directory)
    anew = await login(local, issuer.token(subject))

    assert suspended["userErrors"][0]["code"] == "FORBIDDEN"
    assert restored["user"] == user
    assert anew["user"]["id"] != user["id"]


async def test_without_an_issuer_no_token_signs_in(api: Api, issuer: LocalIssuer) -> None:
    (error,) = (await login(api, issuer.token()))["userErrors"]

    assert error["code"] == "FORBIDDEN"


async def test_an_issuer_that_does_not_answer_or_is_another_is_unavailable(local: Api, issuer: LocalIssuer) -> None:
    token = issuer.token()
    issuer.answers = False
    silent = await local.post(LOGIN, {"input": {"idToken": token}})
    issuer.answers, issuer.claimed = True, "https://example.org"
    another = await local.post(LOGIN, {"input": {"idToken": token}})
    issuer.claimed = issuer.url

    for response in (silent, another):
        assert response["errors"][0]["extensions"]["code"] == "UNAVAILABLE"
        assert response["errors"][0]["extensions"]["retryable"] is True
    assert (await login(local, token))["userErrors"] == []


async def test_keys_are_kept_until_their_deadline_and_a_new_one_is_asked_for(issuer: LocalIssuer) -> None:
    present = 0.0
    ours = Issuer(issuer.url, AUDIENCE, clock=lambda: present)
    now = datetime.now(UTC)
    await asyncio.gather(*(ours.verify(issuer.token(f"{n}"), now) for n in range(5)))
    asked_once = issuer.questions

    old = issuer.token("ann")
    issuer.keys = {"two": ec.generate_private_key(ec.SECP256R1())}
    new = issuer.token("bob", key_id="two", algorithm="ES256")
    with pytest.raises(InvalidCredentials):
        await ours.verify(new, now)  # a stranger's key is not asked for at once
    kept = await ours.verify(old, now)
    not_asked = issuer.questions
    present += ANEW_SECONDS
    rolled_over = await ours.verify(new, now)
    with pytest.raises(InvalidCredentials):
        await ours.verify(old, now)  # the issuer no longer lists it
    issuer.answers = False
    still = await ours.verify(new, now)
    present += KEYS_SECONDS
    with pytest.raises(Unavailable):
        await ours.verify(new, now)
    with pytest.raises(Unavailable):
        await ours.verify(new, now + timedelta(seconds=1))

    assert (asked_once, not_asked, issuer.questions) == (1, 1, 2)
    assert [person.subject for person in (kept, rolled_over, still)] == ["ann", "bob", "bob"]
