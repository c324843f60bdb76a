"""The peer `plain`: Strawberry on FastAPI with subscriptions over Redis by broadcaster, as their documentation has it.

It keeps no messages and lets everybody in.
"""

import json
import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import strawberry
from broadcaster import Broadcast
from fastapi import FastAPI
from strawberry.fastapi import GraphQLRouter

broadcast = Broadcast(os.environ["REDIS_URL"])
sent = 0


@strawberry.type
class User:
    handle: str


@strawberry.type
class Message:
    id: strawberry.ID
    body: str
    sender: User


@strawberry.type
class MessageSent:
    sequence: int
    message: Message


@strawberry.input
class SendMessageInput:
    conversation_id: strawberry.ID
    body: str
    client_message_id: str


@strawberry.type
class Query:
    @strawberry.field
    def health(self) -> bool:
        return True


@strawberry.type
class Mutation:
    @strawberry.mutation
    async def send_message(self, input: SendMessageInput) -> Message:  # noqa: A002  # the API's name for it
        global sent  # noqa: PLW0603
        sent += 1
        message_id = f"{input.conversation_id}:{sent:012}"
        content = {"id": message_id, "body": input.body, "sender": "u0123456789abcdef0123"}
        event = {"sequence": sent, "message": content}
        await broadcast.publish(channel=input.conversation_id, message=json.dumps(event))
        return message(content)


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def message_sent(self, conversation_id: strawberry.ID) -> AsyncGenerator[MessageSent]:
        async with broadcast.subscribe(channel=conversation_id) as subscriber:
            async for published in subscriber:  # type: ignore[union-attr]  # it is never None, whatever they say
                event = json.loads(published.message)  # type: ignore[union-attr]  # the same
                yield MessageSent(sequence=event["sequence"], message=message(event["message"]))


def message(content: dict[str, str]) -> Message:
    return Message(id=strawberry.ID(content["id"]), body=content["body"], sender=User(handle=content["sender"]))


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    await broadcast.connect()
    yield
    await broadcast.disconnect()


app = FastAPI(lifespan=lifespan)
app.include_router(GraphQLRouter(strawberry.Schema(Query, Mutation, Subscription)), prefix="/graphql")
