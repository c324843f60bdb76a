"""What operators see and do: the audit log, the queue of reports, suspension by an administrator."""

import asyncio
from typing import Any

import orjson

from services import ids
from tests.api.test_messages import said
from tests.api.test_people import LOGIN, REFRESH, parley_command, parley_user, refusal
from tests.clients import PASSWORD, Api, Json, Person
from tests.stack_process import StackProcess

AUDIT = """query ($kind: AuditEventKind, $user: ID, $first: Int, $after: String) {
  auditEvents(kind: $kind, userId: $user, first: $first, after: $after) {
    nodes { id kind at actorId actor { id } subjectId subject { id } sessionId requestId network detail }
    pageInfo { hasNextPage endCursor } } }"""
REPORTS = """query ($state: ReportState, $first: Int, $after: String, $last: Int) {
  reports(state: $state, first: $first, after: $after, last: $last) {
    nodes { id state reason reportedVersion messageId conversationId message { id body } reporter { id }
      resolution note resolvedBy { id } resolvedAt createdAt }
    pageInfo { hasNextPage endCursor } } }"""
REPORT = """mutation ($input: ReportMessageInput!) { reportMessage(input: $input) {
  messageId userErrors { code path } } }"""
RESOLVE = """mutation ($input: ResolveReportInput!) { resolveReport(input: $input) {
  report { id state resolution note resolvedBy { id } } userErrors { code path } } }"""
SUSPEND = """mutation ($input: SuspendUserInput!) { suspendUser(input: $input) {
  user { id } userErrors { code message path } } }"""
RESTORE = """mutation ($input: RestoreUserInput!) { restoreUser(input: $input) {
  user { id } userErrors { code message path } } }"""
REVOKE = """mutation ($input: RevokeSessionInput!) { revokeSession(input: $input) {
  sessionId userErrors { code } } }"""
CHANGE_PASSWORD = """mutation ($input: ChangePasswordInput!) { changePassword(input: $input) {
  accessToken userErrors { code } } }"""


async def signed_in(api: Api, handle: str) -> Person:
    response = await api.post(
        """mutation ($input: LoginInput!) { login(input: $input) {
          user { id handle } accessToken refreshToken userErrors { code } } }""",
        {"input": {"handle": handle, "password": PASSWORD}},
    )
    payload = response["data"]["login"]
    return Person(api, handle, payload["user"]["id"], payload["accessToken"], payload["refreshToken"])


async def with_role(api: Api, stack: StackProcess, role: str) -> Person:
    """Return a new person with a role."""
    person = await api.register()
    assert parley_user("promote", person.handle, role, data=stack.directory).returncode == 0
    return await signed_in(api, person.handle)


async def events(operator: Person, **variables: object) -> list[Json]:
    response = await operator.post(AUDIT, variables)
    assert "errors" not in response, response
    nodes: list[Json] = response["data"]["auditEvents"]["nodes"]
    return nodes


async def queue(operator: Person, conversation_id: str, **variables: object) -> list[Json]:
    """Return the reports of one conversation's messages."""
    found: list[Json] = []
    after = None
    while True:
        response = await operator.post(REPORTS, {"after": after, **variables})
        reports = response["data"]["reports"]
        found += [report for report in reports["nodes"] if report["conversationId"] == conversation_id]
        after = reports["pageInfo"]["endCursor"]
        if not reports["pageInfo"]["hasNextPage"]:
            return found


def code(response: Json) -> Any:
    return response["errors"][0]["extensions"]["code"]


# ---------------------------------------------------------------- audit log


async def test_what_is_done_to_an_account_is_in_the_audit_log(api: Api, other_api: Api, stack: StackProcess) -> None:
    operator, ann = await with_role(api, stack, "OPERATOR"), await api.register()
    await api.post(LOGIN, {"input": {"handle": ann.handle, "password": "wrong password"}})
    phone = await signed_in(other_api, ann.handle)
    laptop = await signed_in(api, ann.handle)
    viewer = "query { viewer { sessions { id viewerIsCurrent } } }"
    (session_id,) = (
        session["id"]
        for session in (await laptop.post(viewer))["data"]["viewer"]["sessions"]
        if session["viewerIsCurrent"]
    )
    await phone.mutate(REVOKE, sessionId=session_id)
    await phone.mutate(CHANGE_PASSWORD, currentPassword=PASSWORD, newPassword="another horse battery")
    parley_user("suspend", ann.handle, data=stack.directory)
    parley_user("restore", ann.handle, data=stack.directory)
    parley_user("promote", ann.handle, "ADMIN", data=stack.directory)
    parley_user("reset-link", ann.handle, data=stack.directory)

    found = (await events(operator, user=ann.id))[::-1]

    assert [event["kind"] for event in found] == [
        "REGISTERED",
        "SIGN_IN_FAILED",
        "SIGNED_IN",
        "SIGNED_IN",
        "SESSION_REVOKED",
        "PASSWORD_CHANGED",
        "ACCOUNT_SUSPENDED",
        "ACCOUNT_RESTORED",
        "ROLES_CHANGED",
        "RESET_LINK_CREATED",
    ]
    assert {event["subject"]["id"] for event in found} == {ann.id}
    assert found[1]["actor"] is None
    assert found[4]["sessionId"] == session_id
    assert found[8]["detail"] == "ADMIN"
    assert all(event["network"] == "127.0.0.0/24" and event["requestId"] for event in found[:6])
    assert all((event["network"], event["requestId"], event["actorId"]) == (None,) * 3 for event in found[6:])


async def test_an_event_names_the_request_that_its_answer_names(api: Api, stack: StackProcess) -> None:
    operator = await with_role(api, stack, "OPERATOR")
    ann = await api.register()
    response = await api.http.post(
        f"{api.url}/graphql",
        json={"query": LOGIN, "variables": {"input": {"handle": ann.handle, "password": PASSWORD}}},
    )

    (event,) = await events(operator, user=ann.id, kind="SIGNED_IN")

    assert event["requestId"] == response.headers["x-request-id"]


async def test_a_refresh_token_that_is_shown_again_is_in_the_audit_log(api: Api, stack: StackProcess) -> None:
    operator, ann = await with_role(api, stack, "OPERATOR"), await api.register()
    token = ann.refresh_token
    for _ in range(3):  # of one token two successors are given: an answer may be lost
        response = await api.post(REFRESH, {"input": {"refreshToken": token}})
        token = response["data"]["refreshSession"]["refreshToken"] or token
    await api.post(REFRESH, {"input": {"refreshToken": ann.refresh_token}})

    (event,) = await events(operator, user=ann.id, kind="REFRESH_TOKEN_REUSED")

    assert event["subjectId"] == ann.id


async def test_the_audit_log_is_paged_the_newest_first_and_by_the_command_line(api: Api, stack: StackProcess) -> None:
    operator, ann = await with_role(api, stack, "OPERATOR"), await api.register()
    for _ in range(3):
        await signed_in(api, ann.handle)
    whole = await events(operator, user=ann.id)
    paged: list[Json] = []
    after = None
    for _ in range(3):
        response = await operator.post(AUDIT, {"user": ann.id, "first": 2, "after": after})
        page = response["data"]["auditEvents"]
        paged += page["nodes"]
        after = page["pageInfo"]["endCursor"]
    lines = parley_command("audit", "--user", ann.handle, "--kind", "signed_in", data=stack.directory)
    unknown = parley_command("audit", "--kind", "tea", data=stack.directory)
    node = await operator.post("query ($id: ID!) { node(id: $id) { id } }", {"id": whole[0]["id"]})

    assert paged == whole
    assert [event["at"] for event in whole] == sorted((event["at"] for event in whole), reverse=True)
    printed = [orjson.loads(line) for line in lines.stdout.splitlines()]
    assert [line["id"] for line in printed] == [event["id"] for event in whole if event["kind"] == "SIGNED_IN"][::-1]
    assert (unknown.returncode, "SIGNED_IN" in unknown.stderr) == (1, True)
    assert node["data"]["node"] == {"id": whole[0]["id"]}


# ---------------------------------------------------------------- reports


async def test_a_report_waits_for_an_operator_and_leaves_the_queue_resolved(
    api: Api, other_api: Api, stack: StackProcess
) -> None:
    operator = await with_role(api, stack, "OPERATOR")
    ann, bob = await api.register(), await other_api.register()
    conversation = await ann.talk(bob)
    message = await said(ann, conversation)
    for reason in ("spam", "still spam"):
        await bob.mutate(REPORT, messageId=message["id"], reason=reason)

    (waiting,) = await queue(operator, conversation["id"], state="OPEN")
    resolved = [
        await operator.mutate(RESOLVE, reportId=waiting["id"], resolution="DISMISSED", note=note)
        for note in (" no spam ", "another")
    ]
    otherwise = await operator.mutate(RESOLVE, reportId=waiting["id"], resolution="ACTION_TAKEN")
    missing = await operator.mutate(RESOLVE, reportId=ids.new_id("rep"), resolution="DISMISSED")
    long = await operator.mutate(RESOLVE, reportId=waiting["id"], resolution="DISMISSED", note="x" * 1_001)
    still_open = await queue(operator, conversation["id"], state="OPEN")
    (done,) = await queue(operator, conversation["id"], state="RESOLVED")
    (event,) = await events(operator, user=operator.id, kind="REPORT_RESOLVED")

    assert (waiting["reason"], waiting["state"], waiting["reportedVersion"]) == ("spam", "OPEN", 1)
    assert waiting["message"] == {"id": message["id"], "body": message["body"]}
    assert (waiting["reporter"]["id"], waiting["messageId"]) == (bob.id, message["id"])
    assert waiting["resolvedAt"] is waiting["resolvedBy"] is waiting["resolution"] is None
    assert [payload["report"]["note"] for payload in resolved] == ["no spam"] * 2
    assert refusal(otherwise) == ("CONFLICT", "resolution")
    assert refusal(missing) == ("NOT_FOUND", "reportId")
    assert refusal(long) == ("INVALID_INPUT", "note")
    assert still_open == []
    assert (done["id"], done["resolvedBy"]["id"]) == (waiting["id"], operator.id)
    assert (event["actorId"], event["subjectId"]) == (operator.id, bob.id)


async def test_reports_are_in_the_order_in_which_they_came(api: Api, stack: StackProcess) -> None:
    operator, ann, bob = await with_role(api, stack, "ADMIN"), await api.register(), await api.register()
    conversation = await ann.talk(bob)
    messages = [(await ann.send(conversation["id"], f"{number}"))["message"] for number in range(3)]
    for index in (2, 0, 1):
        await bob.mutate(REPORT, messageId=messages[index]["id"], reason=f"{index}")

    found = await queue(operator, conversation["id"], first=2)
    node = await operator.post(
        "query ($id: ID!) { node(id: $id) { ... on Report { reason } } }", {"id": found[0]["id"]}
    )

    assert [report["reason"] for report in found] == ["2", "0", "1"]
    assert node["data"]["node"] == {"reason": "2"}


# ---------------------------------------------------------------- who may


async def test_what_is_for_operators_is_forbidden_to_everybody_else(api: Api, stack: StackProcess) -> None:
    operator, ann, bob = await with_role(api, stack, "OPERATOR"), await api.register(), await api.register()
    conversation = await ann.talk(bob)
    message = await said(ann, conversation)
    await bob.mutate(REPORT, messageId=message["id"], reason="spam")
    (report,) = await queue(operator, conversation["id"])
    (event, *_) = await events(operator, user=ann.id)

    answers = [await person.post(query) for person in (ann, bob) for query in (AUDIT, REPORTS)]
    resolving = await bob.mutate(RESOLVE, reportId=report["id"], resolution="DISMISSED")
    suspending = [await person.mutate(SUSPEND, userId=ann.id) for person in (bob, operator)]
    restoring = [await person.mutate(RESTORE, userId=ann.id) for person in (bob, operator)]
    nodes = await bob.post("query ($ids: [ID!]!) { nodes(ids: $ids) { id } }", {"ids": [report["id"], event["id"]]})
    nobody = [await api.post(query) for query in (AUDIT, REPORTS)]

    assert {code(answer) for answer in answers} == {"FORBIDDEN"}
    assert {payload["userErrors"][0]["code"] for payload in (resolving, *suspending, *restoring)} == {"FORBIDDEN"}
    assert nodes["data"]["nodes"] == [None, None]
    assert {code(answer) for answer in nobody} == {"UNAUTHENTICATED"}
    assert [report["state"] for report in await queue(operator, conversation["id"])] == ["OPEN"]


# ---------------------------------------------------------------- suspension


async def test_an_administrator_suspends_and_restores_an_account(api: Api, other_api: Api, stack: StackProcess) -> None:
    admin, ann = await with_role(api, stack, "ADMIN"), await other_api.register()

    suspended = [await admin.mutate(SUSPEND, userId=ann.id) for _ in range(2)]
    async with asyncio.timeout(30):
        while "errors" not in (refused := await ann.post("query { viewer { roles } }")):
            pass
    login = await other_api.post(LOGIN, {"input": {"handle": ann.handle, "password": PASSWORD}})
    restored = [await admin.mutate(RESTORE, userId=ann.id) for _ in range(2)]
    again = await signed_in(other_api, ann.handle)
    found = await events(admin, user=ann.id)

    assert [payload["user"] for payload in (*suspended, *restored)] == [{"id": ann.id}] * 4
    assert code(refused) == "UNAUTHENTICATED"
    assert login["data"]["login"]["userErrors"][0]["code"] == "FORBIDDEN"
    assert "errors" not in await again.post("query { viewer { roles } }")
    assert [(event["kind"], event["actorId"]) for event in found if event["kind"].startswith("ACCOUNT")] == [
        ("ACCOUNT_RESTORED", admin.id),
        ("ACCOUNT_SUSPENDED", admin.id),
    ]


async def test_an_administrator_suspends_neither_themselves_nor_nobody(api: Api, stack: StackProcess) -> None:
    admin = await with_role(api, stack, "ADMIN")

    assert refusal(await admin.mutate(SUSPEND, userId=admin.id)) == ("INVALID_INPUT", "userId")
    for user_id in (ids.user(), "", "nobody"):
        for mutation in (SUSPEND, RESTORE):
            assert refusal(await admin.mutate(mutation, userId=user_id)) == ("NOT_FOUND", "userId")


async def test_a_token_of_a_role_that_was_taken_away_suspends_nobody(api: Api, stack: StackProcess) -> None:
    admin, ann = await with_role(api, stack, "ADMIN"), await api.register()
    parley_user("promote", admin.handle, "USER", data=stack.directory)

    payload = await admin.mutate(SUSPEND, userId=ann.id)

    assert payload["userErrors"][0]["code"] == "FORBIDDEN"
    assert "errors" not in await ann.post("query { viewer { roles } }")
