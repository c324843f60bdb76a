// Spreads Parley's collections over the shards of a cluster. Run it through a mongos, before the first start or at any time:
//   mongosh "mongodb://root@mongos:27017/admin" --file deploy/mongo/shard.js
// Running it again changes nothing. docs/scaling.md says why the key is what it is.
//
// The key is `_id`, in order: everything is read and written by `_id` and ranges of it, and of what belongs to a conversation
// the `_id` begins with the conversation. So a conversation is one range, on one shard, or on two where the range was split
// within it, and every operation goes to the shards that it needs. A hash of `_id` would scatter each page over all of them;
// a field `conversation` would have to stand in each query, and `_id` would no longer be unique over the whole cluster,
// by which alone a place in a log is taken once.
const NAME = "parley";

// What grows with what people say and do.
const SHARDED = [
  "entries", "sends", "conversations", "members", "inbox", "receipts", "search", "dirty", "published", "seen",
  "users", "handles", "identities", "sessions", "blocks", "mutes", "activity", "tracked", "audit", "attempts", "resets",
  "reports", "reported", "push_endpoints", "push_queue", "push_decisions", "pushes",
];
// What does not: some thousands of documents at most, on the database's primary shard.
const ELSEWHERE = ["meta", "leases", "metrics", "revocations", "erasures", "alerts"];

// Zones, where older conversations may live on cheaper machines: ids sort by the time at which they were made. Of shards that
// `sh.addShardToZone(shard, "old")` and `…, "new")` have named. DIRECT conversations have ids by chance, and stay where they are.
//   mongosh … --eval 'const BEFORE = "2026-01-01"' --file deploy/mongo/shard.js
const CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz";
function firstKey(date) { // the first 10 characters of a ULID of that time
  let time = new Date(date).getTime();
  let text = "";
  for (let place = 0; place < 10; place += 1) {
    text = CROCKFORD[time % 32] + text;
    time = Math.floor(time / 32);
  }
  return `cnv_${text}`;
}

const admin = db.getSiblingDB("admin");
if (admin.runCommand({ isdbgrid: 1 }).ok !== 1) throw new Error("This is no mongos.");
sh.enableSharding(NAME);
for (const collection of SHARDED) {
  sh.shardCollection(`${NAME}.${collection}`, { _id: 1 });
}
if (typeof BEFORE !== "undefined") {
  const border = firstKey(BEFORE);
  for (const collection of ["entries", "sends"]) {
    sh.updateZoneKeyRange(`${NAME}.${collection}`, { _id: "cnv_" }, { _id: border }, "old");
    sh.updateZoneKeyRange(`${NAME}.${collection}`, { _id: border }, { _id: "cnv_~" }, "new");
  }
}
for (const collection of ELSEWHERE) print(`${collection}: not sharded`);
sh.status();
