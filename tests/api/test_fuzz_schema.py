"""Every query and mutation of the schema with whatever its types allow, and with what they do not."""

from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from graphql import introspection_from_schema
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.core.result import Ok
from schemathesis.graphql import nodes

from schema.api import graphql_schema
from tests.clients import PASSWORD, REGISTER, Json
from tests.fuzz import CASES, Watch, judge, world
from tests.stack_process import StackProcess

SCHEMA = schemathesis.graphql.from_dict(dict(introspection_from_schema(graphql_schema())))
OPERATIONS = {found.ok().label: found.ok() for found in SCHEMA.get_all_operations() if isinstance(found, Ok)}
# Each operation has its part of one half; the other half goes over sockets.
EXAMPLES = max(2, CASES // 2 // len(OPERATIONS) // 2)
MODES = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)

_names: list[str] = [""]  # what there is; filled when there is a stack
names = st.integers(0, 2**16).map(lambda number: _names[number % len(_names)])
odd_texts = st.sampled_from(
    ["\x00", "'\"\\", "$where", "{$gt:''}", "../../etc/passwd", "\u202e", "\ufeff", "😀", "x" * 70_000]
)
times = st.datetimes().map(lambda time: time.isoformat() + "Z") | st.text(max_size=20)
schemathesis.graphql.scalar("ID", (names | names | names | odd_texts | st.text()).map(nodes.String))
schemathesis.graphql.scalar("String", (st.text() | names | odd_texts).map(nodes.String))
schemathesis.graphql.scalar("DateTime", times.map(nodes.String))


class Sender:
    """Sends cases, and counts them."""

    def __init__(self, stack: StackProcess) -> None:
        self.cases = 0
        self._urls = [f"{url}/graphql" for url in stack.urls]
        self._http = requests.Session()
        self._token: str | None = None

    def send(self, case: schemathesis.Case[Any]) -> requests.Response:
        """Send a case as somebody who is signed in; some of them sign out, and somebody else comes."""
        self.cases += 1
        response = self._post({"query": case.body})
        if response.status_code == 401 or self._token is None:
            self._token = self._registered()
            response = self._post({"query": case.body})
        return response

    def _post(self, content: Json) -> requests.Response:
        headers = {} if self._token is None else {"authorization": f"Bearer {self._token}"}
        return self._http.post(self._urls[self.cases % len(self._urls)], json=content, headers=headers, timeout=30)

    def _registered(self) -> str:
        self._token = None
        given = {"handle": f"fuzz{self.cases}.{id(self) % 2**40:x}", "password": PASSWORD}
        answer: Json = self._post({"query": REGISTER, "variables": {"input": given}}).json()
        return str(answer["data"]["register"]["accessToken"])


@pytest.fixture(scope="module")
def sender(stack: StackProcess) -> Iterator[Sender]:
    _names[:] = world(stack).names
    watch, sender = Watch.over(stack), Sender(stack)
    watch.look()
    yield sender
    watch.end(sender.cases)


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.value)
@pytest.mark.parametrize("label", OPERATIONS)
def test_whatever_an_operation_is_given_it_is_answered_in_codes(
    label: str, mode: GenerationMode, sender: Sender
) -> None:
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(OPERATIONS[label].as_strategy(generation_mode=mode))
    def send(case: schemathesis.Case[Any]) -> None:
        response = sender.send(case)

        assert response.status_code < 500, response.text
        judge(response.json())

    try:
        send()
    except pytest.skip.Exception:
        assert mode is GenerationMode.NEGATIVE, "nothing can be wrong with what has no arguments"
