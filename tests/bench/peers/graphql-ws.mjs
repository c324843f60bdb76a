// The peer `graphql-ws`: graphql-js behind graphql-ws and ws, events over Redis by graphql-redis-subscriptions. It keeps
// no messages and lets everybody in.
import http from "node:http";
import {
  GraphQLBoolean,
  GraphQLID,
  GraphQLInputObjectType,
  GraphQLInt,
  GraphQLNonNull,
  GraphQLObjectType,
  GraphQLSchema,
  GraphQLString,
} from "graphql";
import { createHandler } from "graphql-http/lib/use/http";
import { RedisPubSub } from "graphql-redis-subscriptions";
import { useServer } from "graphql-ws/use/ws";
import { Redis } from "ioredis";
import { WebSocketServer } from "ws";

const [, , port, redis] = process.argv;
const pubsub = new RedisPubSub({ publisher: new Redis(redis), subscriber: new Redis(redis) });
let sequence = 0;

const required = (type) => ({ type: new GraphQLNonNull(type) });
const object = (name, fields) => new GraphQLObjectType({ name, fields });
const User = object("User", { handle: required(GraphQLString) });
const Message = object("Message", { id: required(GraphQLID), body: required(GraphQLString), sender: required(User) });
const MessageSent = object("MessageSent", { sequence: required(GraphQLInt), message: required(Message) });
const SendMessageInput = new GraphQLInputObjectType({
  name: "SendMessageInput",
  fields: {
    conversationId: required(GraphQLID),
    body: required(GraphQLString),
    clientMessageId: required(GraphQLString),
  },
});

const schema = new GraphQLSchema({
  query: object("Query", { health: { ...required(GraphQLBoolean), resolve: () => true } }),
  mutation: object("Mutation", {
    sendMessage: {
      ...required(Message),
      args: { input: required(SendMessageInput) },
      async resolve(_, { input }) {
        sequence += 1;
        const message = {
          id: `${input.conversationId}:${String(sequence).padStart(12, "0")}`,
          body: input.body,
          sender: { handle: "u0123456789abcdef0123" },
        };
        await pubsub.publish(input.conversationId, { messageSent: { sequence, message } });
        return message;
      },
    },
  }),
  subscription: object("Subscription", {
    messageSent: {
      ...required(MessageSent),
      args: { conversationId: required(GraphQLID) },
      subscribe: (_, { conversationId }) => pubsub.asyncIterableIterator(conversationId),
    },
  }),
});

const server = http.createServer(createHandler({ schema }));
useServer({ schema }, new WebSocketServer({ server, path: "/graphql" }));
server.listen(Number(port), "127.0.0.1", 4096);
