"""Rotation of the key that signs access tokens."""

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from tests.api.test_operators import signed_in
from tests.clients import Api
from tests.local_api import local_api
from tests.stack_process import StackProcess

VIEWER = "query { viewer { user { id } } }"


async def key_ids(api: Api) -> list[str]:
    content = (await api.http.get(f"{api.url}/.well-known/jwks.json")).json()
    return [key["kid"] for key in content["keys"]]


async def test_the_old_keys_tokens_are_valid_while_its_public_key_is_listed(
    api: Api, stack: StackProcess, tmp_path: Path
) -> None:
    ann = await api.register()
    signing, listed = tmp_path / "new.pem", tmp_path / "old-public.pem"
    signing.write_bytes(Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    old = load_pem_private_key((stack.directory / "keys" / "ed25519.pem").read_bytes(), password=None)
    listed.write_bytes(old.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    (old_id,) = await key_ids(api)

    async with (
        local_api(stack, signing_key_file=str(signing), verification_key_files=str(listed)) as rotated,
        local_api(stack, signing_key_file=str(signing)) as finished,
        Api(rotated.url) as while_rotating,
        Api(finished.url) as afterwards,
    ):
        both, one = await key_ids(while_rotating), await key_ids(afterwards)
        during = await ann.at(while_rotating).post(VIEWER)
        after = await ann.at(afterwards).post(VIEWER)
        new = await signed_in(while_rotating, ann.handle)
        with_new = [await new.at(process).post(VIEWER) for process in (while_rotating, afterwards)]
        renewed = await afterwards.post(
            "mutation ($input: RefreshSessionInput!) { refreshSession(input: $input) { userErrors { code } } }",
            {"input": {"refreshToken": ann.refresh_token}},
        )

    assert len(both) == 2
    assert set(both) == {old_id, *one}
    assert during["data"]["viewer"]["user"]["id"] == ann.id
    assert after["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    assert [response["data"]["viewer"]["user"]["id"] for response in with_new] == [ann.id] * 2
    assert renewed["data"]["refreshSession"]["userErrors"] == []  # who was signed in stays so
