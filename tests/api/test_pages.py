"""The pages over HTTP: what browsers are told to let them do, and how long to keep what."""

import re

import pytest

from tests.clients import Api

APP_POLICY = {
    "default-src 'none'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self'",
    "connect-src 'self'",
}


@pytest.mark.parametrize("path", ["/", "/ops"])
async def test_a_page_may_load_nothing_but_its_own_files(api: Api, path: str) -> None:
    page = await api.http.get(api.url + path)

    assert page.status_code == 200
    assert set(page.headers["content-security-policy"].split("; ")) == APP_POLICY
    assert page.headers["cache-control"] == "no-cache"
    assert page.headers["x-content-type-options"] == "nosniff"
    assert "<style" not in page.text
    assert " style=" not in page.text


@pytest.mark.parametrize(("path", "name"), [("/", "app"), ("/ops", "ops")])
async def test_what_a_page_loads_is_kept_for_ever(api: Api, path: str, name: str) -> None:
    page = await api.http.get(api.url + path)
    assets = re.findall(rf'(?:src|href)="(/{name}/assets/[^"]+)"', page.text)
    answers = [await api.http.get(f"{api.url}{asset}") for asset in assets]

    assert len(assets) == 3  # icon, script, style sheet
    for answer in answers:
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert answer.headers["surrogate-key"] == "parley assets"


@pytest.mark.parametrize("path", ["/", "/ops", "/graphql", "/graphql?query={__typename}", "/health", "/nowhere"])
async def test_every_answer_tells_browsers_to_be_careful(api: Api, path: str) -> None:
    for accept in ("text/html", "application/json"):
        headers = (await api.http.get(api.url + path, headers={"accept": accept})).headers

        assert "default-src 'none'" in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-opener-policy"] == headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["x-frame-options"] == "DENY"
        assert "server" not in headers
