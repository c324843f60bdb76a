// Run once, when the database is made: the user that Parley signs in as. It may read and write its database, and no other.
const password = require("fs").readFileSync("/run/secrets/mongo_password", "utf8").trim();
db.getSiblingDB("admin").createUser({
  user: "parley",
  pwd: password,
  roles: [{ role: "readWrite", db: "parley" }],
});
