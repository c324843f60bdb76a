"""Which media type an answer has."""

import pytest

from parley.media_types import JSON_TYPE, RESPONSE_TYPE, is_json, preferred


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, JSON_TYPE),
        ("", JSON_TYPE),
        ("*/*", JSON_TYPE),
        ("application/*", JSON_TYPE),
        (JSON_TYPE, JSON_TYPE),
        (RESPONSE_TYPE, RESPONSE_TYPE),
        (f"{RESPONSE_TYPE}; charset=utf-8, {JSON_TYPE}", RESPONSE_TYPE),
        (f"{JSON_TYPE}, {RESPONSE_TYPE}", RESPONSE_TYPE),
        (f"{RESPONSE_TYPE};q=0.8, {JSON_TYPE}", JSON_TYPE),
        (f"{RESPONSE_TYPE};q=0.8, {JSON_TYPE};q=0.9", JSON_TYPE),
        (f"{RESPONSE_TYPE}, {JSON_TYPE};q=0.9", RESPONSE_TYPE),
        (f"{RESPONSE_TYPE}, */*;q=0.1", RESPONSE_TYPE),
        (f"{RESPONSE_TYPE};q=0, */*", JSON_TYPE),
        (f"{JSON_TYPE};q=0, */*", RESPONSE_TYPE),
        (f"{JSON_TYPE}, */*", JSON_TYPE),
        (f"text/html, {JSON_TYPE.upper()};Q=0.5", JSON_TYPE),
        # What urql sends for everything.
        (f"{RESPONSE_TYPE}, {JSON_TYPE}, text/event-stream, multipart/mixed", RESPONSE_TYPE),
        ("text/html", None),
        ("text/event-stream", None),
        (f"{JSON_TYPE};q=0", None),
        (f"{JSON_TYPE};q=many", None),
        ("application/jsonp", None),
        (";;,,;q=,", None),
        (f"{JSON_TYPE}, " * 1_000, None),
    ],
)
def test_the_client_gets_what_it_likes_best(accept: str | None, expected: str | None) -> None:
    assert preferred(accept, (RESPONSE_TYPE, JSON_TYPE)) == expected


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ("application/json", True),
        ("Application/JSON; charset=UTF-8", True),
        ('application/json;charset="utf-8"; profile=x', True),
        ("application/json; charset=latin1", False),
        ("application/graphql", False),
        ("text/plain", False),
        ("multipart/form-data; boundary=x", False),
        ("", False),
    ],
)
def test_a_body_is_read_as_json_only_where_it_says_so(content_type: str, expected: bool) -> None:
    assert is_json(content_type) is expected
