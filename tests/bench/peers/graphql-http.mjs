// The peer `graphql-http`: graphql-js behind graphql-http, as its documentation has it, with the part of Parley's schema
// that is asked for. People and messages are cached in Redis, as Parley's are, or with no Redis named in this process's
// memory. A token is looked up and not verified, and nothing is limited.
import http from "node:http";
import DataLoader from "dataloader";
import {
  GraphQLBoolean,
  GraphQLEnumType,
  GraphQLID,
  GraphQLInt,
  GraphQLList,
  GraphQLNonNull,
  GraphQLObjectType,
  GraphQLSchema,
  GraphQLString,
} from "graphql";
import { createHandler } from "graphql-http/lib/use/http";
import { Redis } from "ioredis";

const [, , port, url] = process.argv;
const PEOPLE = 8;
const MESSAGES = 60;
const TOKEN = "0123456789abcdef";

const required = (type) => ({ type: new GraphQLNonNull(type) });
const many = (type) => required(new GraphQLList(new GraphQLNonNull(type)));
const object = (name, fields) => new GraphQLObjectType({ name, fields });

const users = new Map(
  Array.from({ length: PEOPLE }, (_, number) => [
    `usr_${String(number).padStart(26, "0")}`,
    {
      id: `usr_${String(number).padStart(26, "0")}`,
      handle: `u0123456789abcdef012${number}`,
      displayName: `u0123456789abcdef012${number}`,
      avatarUrl: null,
    },
  ]),
);
const ids = [...users.keys()];
const sessions = new Map([[TOKEN, { userId: ids[0], roles: ["USER"] }]]);
const messages = Array.from({ length: MESSAGES }, (_, number) => ({
  id: `msg_${String(number).padStart(26, "0")}`,
  sequence: number + 2,
  body: `${number} ${".".repeat(90)}`,
  status: "SENT",
  createdAt: new Date().toISOString(),
  editedAt: null,
  senderId: ids[number % PEOPLE],
  reactions: [],
}));

const redis = url && new Redis(url, { enableAutoPipelining: true });
const usersOf = redis
  ? async (keys) => (await redis.mget(keys)).map((found) => JSON.parse(found))
  : async (keys) => keys.map((key) => users.get(key));
const newest = redis
  ? async (room, count) => (await redis.lrange(room, -count, -1)).map((found) => JSON.parse(found))
  : async (_, count) => messages.slice(-count);
if (redis) {
  await redis.mset(new Map([...users].map(([id, user]) => [id, JSON.stringify(user)])));
  await redis.rpush(`cnv_${"0".repeat(26)}`, ...messages.map((message) => JSON.stringify(message)));
}

const User = object("User", {
  id: required(GraphQLID),
  handle: required(GraphQLString),
  displayName: required(GraphQLString),
  avatarUrl: { type: GraphQLString },
});
const Role = new GraphQLEnumType({ name: "Role", values: { USER: {}, OPERATOR: {}, ADMIN: {} } });
const loaded = { ...required(User), resolve: ({ senderId }, _, { loader }) => loader.load(senderId) };
const Reaction = object("Reaction", { emoji: required(GraphQLString), count: required(GraphQLInt) });
const Message = object("Message", {
  id: required(GraphQLID),
  sequence: required(GraphQLInt),
  body: { type: GraphQLString },
  status: required(
    new GraphQLEnumType({ name: "DeliveryStatus", values: { SENT: {}, DELIVERED: {}, READ: {} } }),
  ),
  createdAt: required(GraphQLString),
  editedAt: { type: GraphQLString },
  sender: loaded,
  reactions: many(Reaction),
});
const PageInfo = object("PageInfo", {
  hasNextPage: required(GraphQLBoolean),
  hasPreviousPage: required(GraphQLBoolean),
  startCursor: { type: GraphQLString },
  endCursor: { type: GraphQLString },
});
const MessageConnection = object("MessageConnection", { nodes: many(Message), pageInfo: required(PageInfo) });
const Conversation = object("Conversation", {
  id: required(GraphQLID),
  title: { type: GraphQLString },
  lastSequence: required(GraphQLInt),
  messages: {
    ...required(MessageConnection),
    args: { last: { type: GraphQLInt } },
    resolve: async ({ id }, { last }) => ({
      nodes: await newest(id, last),
      pageInfo: {
        hasNextPage: false,
        hasPreviousPage: messages.length > last,
        startCursor: "cursor",
        endCursor: "cursor",
      },
    }),
  },
});
const Viewer = object("Viewer", {
  user: { ...required(User), resolve: ({ senderId }, _, { loader }) => loader.load(senderId) },
  roles: many(Role),
});

const schema = new GraphQLSchema({
  query: object("Query", {
    viewer: {
      ...required(Viewer),
      resolve: (_, __, { session }) => ({ senderId: session.userId, roles: session.roles }),
    },
    conversation: {
      type: Conversation,
      args: { id: required(GraphQLID) },
      resolve: async (_, { id }) => ({ id, title: null, lastSequence: MESSAGES + 1 }),
    },
  }),
});

const handler = createHandler({
  schema,
  context: async (request) => ({
    session: sessions.get(request.raw.headers.authorization?.slice("Bearer ".length)),
    loader: new DataLoader(usersOf),
  }),
});
http.createServer(handler).listen(Number(port), "127.0.0.1", 4096);
