// The benchmarks' clients: thousands of subscribers of one room, and who writes to it.
//
// One process, one thread, no packages: sockets are raw TCP and frames are parsed by hand, so that a delivery costs less
// here than in any server under test. It does what lines of JSON on its standard input ask for, and answers each with one
// on its standard output; tests/bench/generator.py is the other end. Its argument says how to speak to the server.
//
// Every body that it sends begins with a number, so it knows of each subscriber which messages came, how often, in which
// order, and how long after they were sent. It takes nobody's word: lost, doubled and disordered are counted here.
import crypto from "node:crypto";
import http from "node:http";
import net from "node:net";
import readline from "node:readline";

const BODY_LENGTH = 100;
const NUMBER_DIGITS = 8;
const OPENING = 100; // sockets that are being opened at a time: less than any server's listen queue
const SETTLED_MS = 500; // after a warm-up, nothing is under way any more
const WARM_UPS = 100; // events after which whoever has had none never will
const PORTS = 20_000; // subscribers of one source address, which has about 28 000 ports
const RETRY_MS = [250, 1000]; // from a refusal to the next try, as clients' libraries spread it
const REPORTED = 3; // strange messages that are shown

const server = JSON.parse(process.argv[2]);
const url = new URL(server.url);
const now = () => performance.now();
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// ---------------------------------------------------------------- what is counted

const subscribers = [];
const cursors = new Map(); // by sequence: where a subscriber that has had it goes on
const sentAt = []; // by number
const counts = { ready: 0, warm: 0, pings: 0, strange: 0, retries: 0, received: 0 };
let receivedAt = 0; // when anything came
let measured = null; // the events being measured
let reopening = false; // whether whoever is cut off comes back

class Measured {
  constructor(first, events) {
    this.first = first;
    this.events = events;
    this.seen = new Uint8Array(subscribers.length * events);
    this.latencies = new Float32Array(subscribers.length * events);
    this.delivered = this.doubled = this.disordered = this.bytes = 0;
    this.deliveredAt = now();
  }

  get complete() {
    return this.delivered === this.seen.length;
  }

  // Count a message, and say whether the subscriber has not had it before.
  count(subscriber, number, length) {
    const cell = subscriber.index * this.events + number - this.first;
    if (this.seen[cell]) {
      this.doubled++;
      return false;
    }
    this.seen[cell] = 1;
    this.deliveredAt = receivedAt;
    this.latencies[this.delivered++] = receivedAt - sentAt[number];
    this.bytes += length;
    return true;
  }

  result() {
    return {
      delivered: this.delivered,
      lost: this.seen.length - this.delivered,
      doubled: this.doubled,
      disordered: this.disordered,
      frame_bytes: Math.round(this.bytes / Math.max(this.delivered, 1)),
      ...quantiles(this.latencies.subarray(0, this.delivered)),
    };
  }
}

function quantiles(milliseconds) {
  milliseconds.sort();
  const at = (share) => milliseconds[Math.min(milliseconds.length - 1, Math.floor(milliseconds.length * share))] ?? 0;
  return { p50_ms: at(0.5), p99_ms: at(0.99), max_ms: at(1) };
}

// ---------------------------------------------------------------- subscribers

const chunk = Buffer.allocUnsafe(65_536); // one for all: what is left of it is copied before the next read
const marker = Buffer.from("@@");
const sequenceName = Buffer.from('"sequence":');
// Where both were in the last message. As all have ids of one length, they are there in the next one too, but for when
// the sequence gets a digit more.
let sequenceAt = 0;
let numberAt = 0;

function isAt(buffer, at, name) {
  for (let index = 0; index < name.length; index++) if (buffer[at + index] !== name[index]) return false;
  return true;
}

function digits(buffer, at) {
  let number = 0;
  for (let byte = buffer[at]; byte >= 48 && byte <= 57; byte = buffer[++at]) number = number * 10 + byte - 48;
  return number;
}

function frame(opcode, text) {
  const payload = Buffer.from(text);
  const head = payload.length < 126 ? Buffer.alloc(6) : Buffer.alloc(8);
  head[0] = 0x80 | opcode;
  if (payload.length < 126) head[1] = 0x80 | payload.length;
  else {
    head[1] = 0x80 | 126;
    head.writeUInt16BE(payload.length, 2);
  }
  return Buffer.concat([head, payload]); // the mask is zero, so the payload stays as it is
}

class Subscriber {
  constructor(index) {
    this.index = index;
    this.id = crypto.randomUUID();
    this.sequence = 0; // of the newest update; 0 before the first
    this.ready = false; // subscribed, and caught up where the server says so
    this.warm = false; // has had a message
  }

  open() {
    this.rest = null; // of a frame whose end has not come
    this.upgraded = false;
    const socket = net.connect({
      host: url.hostname,
      port: Number(url.port),
      localAddress: this.index < PORTS ? undefined : `127.0.0.${1 + Math.floor(this.index / PORTS)}`,
      noDelay: true,
      onread: { buffer: chunk, callback: (length, buffer) => this.read(length, buffer) || true },
    });
    this.socket = socket;
    socket.on("error", () => {}); // "close" follows
    socket.on("close", () => this.closed());
    socket.write(
      `GET ${protocol.path} HTTP/1.1\r\nHost: ${url.host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
        `Sec-WebSocket-Key: ${crypto.randomBytes(16).toString("base64")}\r\nSec-WebSocket-Version: 13\r\n` +
        `${protocol.headers}\r\n`,
    );
  }

  closed() {
    if (this.ready) counts.ready--;
    this.ready = false;
    if (reopening) {
      counts.retries++;
      setTimeout(() => this.open(), RETRY_MS[0] + Math.random() * (RETRY_MS[1] - RETRY_MS[0]));
    }
  }

  tell(text) {
    this.socket.write(frame(1, text));
  }

  subscribed() {
    this.ready = true;
    this.readyAt = receivedAt;
    counts.ready++;
  }

  read(length, data) {
    receivedAt = now();
    let buffer = data;
    let end = length;
    let at = 0;
    if (this.rest) {
      buffer = Buffer.concat([this.rest, data.subarray(0, length)]);
      end = buffer.length;
      this.rest = null;
    }
    if (!this.upgraded) {
      const response = buffer.latin1Slice(0, end);
      const ends = response.indexOf("\r\n\r\n");
      if (ends >= 0) {
        if (!response.startsWith("HTTP/1.1 101")) {
          strange(response);
          this.socket.destroy();
          return;
        }
        this.upgraded = true;
        at = ends + 4;
        protocol.opened(this);
      }
    }
    while (this.upgraded && end - at >= 2) {
      let size = buffer[at + 1];
      let head = 2;
      if (size === 126) {
        if (end - at < 4) break;
        size = (buffer[at + 2] << 8) | buffer[at + 3];
        head = 4;
      } else if (size === 127) {
        if (end - at < 10) break;
        size = Number(buffer.readBigUInt64BE(at + 2));
        head = 10;
      }
      if (end - at < head + size) break;
      const from = at + head;
      at = from + size;
      const first = buffer[from - head];
      if (first === 0x81) this.message(buffer, from, at, head + size);
      else if (first === 0x89) this.socket.write(frame(10, buffer.subarray(from, at)));
      else if (first === 0x88) strange(`closed with ${size < 2 ? "nothing" : buffer.readUInt16BE(from)}`);
      else if (first !== 0x8a) strange(`a frame that begins with ${first}`);
    }
    if (at < end) this.rest = Buffer.from(buffer.subarray(at, end));
  }

  message(buffer, from, to, length) {
    const sure =
      from + Math.max(sequenceAt, numberAt) < to && // what is behind a shorter message is an older one
      isAt(buffer, from + sequenceAt, sequenceName) &&
      isAt(buffer, from + numberAt, marker);
    if (!sure) {
      const payload = buffer.subarray(from, to);
      sequenceAt = payload.indexOf(sequenceName);
      numberAt = payload.indexOf(marker);
      if (sequenceAt < 0 || numberAt < 0) {
        protocol.control(this, buffer.utf8Slice(from, to));
        return;
      }
    }
    const sequence = digits(buffer, from + sequenceAt + sequenceName.length);
    const number = digits(buffer, from + numberAt + marker.length);
    if (server.cursors && !cursors.has(sequence)) {
      cursors.set(sequence, JSON.parse(buffer.utf8Slice(from, to)).payload.data.conversationUpdates.cursor);
    }
    this.update(number, sequence, length);
  }

  update(number, sequence, length) {
    counts.received++;
    if (!this.warm) {
      this.warm = true;
      counts.warm++;
    }
    if (measured && number >= measured.first) {
      if (!measured.count(this, number, length)) return;
      if (this.sequence && sequence !== this.sequence + 1) measured.disordered++;
    }
    this.sequence = sequence;
  }
}

function strange(text) {
  if (counts.strange++ < REPORTED) console.error(`generator: ${text.slice(0, 500)}`);
}

// ---------------------------------------------------------------- what the servers speak

const graphql = {
  path: url.pathname,
  headers: "Sec-WebSocket-Protocol: graphql-transport-ws\r\n",

  opened(subscriber) {
    const payload = server.authorization && { Authorization: server.authorization };
    subscriber.tell(JSON.stringify({ type: "connection_init", payload }));
  },

  control(subscriber, text) {
    const message = JSON.parse(text);
    const update = message.payload?.data?.conversationUpdates;
    if (message.type === "connection_ack") {
      const after = cursors.get(subscriber.sequence);
      const payload = { query: server.subscription, variables: { ...server.variables, after } };
      subscriber.tell(JSON.stringify({ id: subscriber.id, type: "subscribe", payload }));
      if (!server.announces) subscriber.subscribed();
    } else if (message.type === "ping") {
      counts.pings++;
      subscriber.tell('{"type":"pong"}');
    } else if (update?.__typename === "CaughtUp" && !subscriber.ready) {
      cursors.set(update.sequence, update.cursor);
      subscriber.sequence = update.sequence;
      subscriber.subscribed();
    } else if (update?.__typename !== "ReceiptMoved") strange(text); // receipts come before the subscriber is caught up
  },

  request(body) {
    const input = { ...server.input, body, clientMessageId: crypto.randomUUID() };
    return JSON.stringify({ query: server.mutation, variables: { input } });
  },
};

// Engine.IO (0 open, 2 ping, 3 pong, 4 message) and Socket.IO in it (40 connected, 42 event).
const socketio = {
  path: "/socket.io/?EIO=4&transport=websocket",
  headers: "",

  opened() {},

  control(subscriber, text) {
    if (text === "2") {
      counts.pings++;
      subscriber.tell("3");
    } else if (text.startsWith("40")) {
      subscriber.tell('42["join"]');
      subscriber.subscribed();
    } else if (text.startsWith("0")) subscriber.tell("40");
    else strange(text);
  },

  request: (body) => JSON.stringify({ body }),
};

const protocol = { graphql, socketio }[server.protocol];

// ---------------------------------------------------------------- who writes

const agent = new http.Agent({ keepAlive: true, noDelay: true });

// Send one message; wait until it is acknowledged.
function send() {
  const number = sentAt.length;
  const body = `@@${String(number).padStart(NUMBER_DIGITS, "0")}@@ `.padEnd(BODY_LENGTH, "x");
  const content = protocol.request(body);
  const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(content) };
  if (server.authorization) headers.authorization = server.authorization;
  sentAt.push(now());
  return new Promise((resolve) => {
    const request = http.request(url, { agent, method: "POST", headers }, (response) => {
      let text = "";
      response.on("data", (data) => (text += data));
      response.on("end", () => {
        if (response.statusCode !== 200 || text.includes('"errors"') || text.includes('"code"')) strange(text);
        resolve();
      });
    });
    request.on("error", (error) => resolve(strange(String(error))));
    request.end(content);
  });
}

// ---------------------------------------------------------------- what it is asked for

// Wait until the condition holds, or until nothing has come for a while.
async function until(condition, stalledMs = server.stalled_ms) {
  receivedAt = now();
  for (let shownAt = now(); !condition() && now() - receivedAt < stalledMs; await sleep(5)) {
    if (now() - shownAt > 2_000) {
      shownAt = now();
      const delivered = measured ? `, ${measured.delivered} of ${measured.seen.length} delivered` : "";
      say({ progress: `${counts.ready} of ${subscribers.length} subscribed${delivered}` });
    }
  }
}

const commands = {
  // Open so many more subscribers, and wait for them; whoever cannot come in ends it.
  async connect({ count }) {
    const started = now();
    const wanted = subscribers.length + count;
    while (subscribers.length < wanted && counts.ready === subscribers.length) {
      for (let opening = Math.min(OPENING, wanted - subscribers.length); opening > 0; opening--) {
        subscribers.push(new Subscriber(subscribers.length));
        subscribers.at(-1).open();
      }
      await until(() => counts.ready === subscribers.length);
    }
    return { seconds: (now() - started) / 1e3 };
  },

  // Send until every subscriber has had a message, and then some; wait until all is quiet.
  async warm({ events }) {
    for (let event = 0; event < events || (counts.warm < subscribers.length && event < WARM_UPS); event++) {
      const received = counts.received;
      await send();
      await until(() => counts.received - received >= subscribers.length, SETTLED_MS);
    }
    await until(() => false, SETTLED_MS);
    return {};
  },

  // Send so many events: each when the one before is acknowledged, or `rate` in a second. Wait for the deliveries.
  async publish({ events, rate }) {
    measured = new Measured(sentAt.length, events);
    const started = now();
    const cpu = process.cpuUsage();
    const sending = [];
    for (let event = 0; event < events; event++) {
      if (!rate) await send();
      else {
        await sleep(Math.max(0, started + (event * 1e3) / rate - now()));
        sending.push(send());
      }
    }
    await Promise.all(sending);
    await until(() => measured.complete);
    const used = process.cpuUsage(cpu);
    return {
      ...measured.result(),
      seconds: (measured.deliveredAt - started) / 1e3,
      generator_cpu_seconds: (used.user + used.system) / 1e6,
    };
  },

  // Cut all connections, send, and let all come back at once, each from where it was.
  async reconnect({ events }) {
    measured = new Measured(sentAt.length, events);
    for (const subscriber of subscribers) subscriber.socket.destroy();
    await until(() => counts.ready === 0);
    for (let event = 0; event < events; event++) await send();
    reopening = true;
    const started = now();
    for (const subscriber of subscribers) subscriber.open();
    await until(() => counts.ready === subscribers.length && measured.complete);
    reopening = false;
    const times = Float32Array.from(subscribers.filter((one) => one.ready).map((one) => one.readyAt - started));
    const seconds = Math.max(...times, measured.deliveredAt - started) / 1e3;
    return { ...measured.result(), ...quantiles(times), seconds, caught_up: counts.ready };
  },

  status: () => ({}),
};

const say = (answer) => process.stdout.write(`${JSON.stringify(answer)}\n`);

for await (const line of readline.createInterface({ input: process.stdin })) {
  const { command, ...options } = JSON.parse(line);
  const counted = await commands[command](options);
  say({ answer: { ...counts, ...counted } });
}
process.exit(0); // sockets and all
