// The peer `socketio`: a Socket.IO room with the Redis adapter; a POST publishes to it. It has no GraphQL, keeps no
// messages and lets everybody in. As the adapter works, clients of this process get an event without waiting for Redis.
import http from "node:http";
import { createAdapter } from "@socket.io/redis-adapter";
import { createClient } from "redis";
import { Server } from "socket.io";

const [, , port, redis] = process.argv;
const publisher = createClient({ url: redis });
const subscriber = publisher.duplicate();
await Promise.all([publisher.connect(), subscriber.connect()]);
let sequence = 0;

const server = http.createServer((request, response) => {
  let text = "";
  request.on("data", (data) => (text += data));
  request.on("end", () => {
    sequence += 1;
    const id = `cnv_${"0".repeat(26)}:${String(sequence).padStart(12, "0")}`;
    const message = { id, body: JSON.parse(text).body, sender: { handle: "u0123456789abcdef0123" } };
    io.to("room").emit("message", { sequence, message });
    response.writeHead(200, { "content-type": "application/json" }).end('{"ok":true}');
  });
});
const io = new Server(server, { adapter: createAdapter(publisher, subscriber), transports: ["websocket"], serveClient: false });
io.on("connection", (socket) => socket.on("join", () => socket.join("room")));
server.listen(Number(port), "127.0.0.1", 4096);
