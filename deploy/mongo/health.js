// Whether this member has become primary or follows one; makes the replica set where there is none yet. Ends with 0 or 1.
const NOT_YET_INITIALIZED = 94;
const password = require("fs").readFileSync("/run/secrets/mongo_root_password", "utf8").trim();
const credentials = `root:${encodeURIComponent(password)}`;
const admin = connect(`mongodb://${credentials}@127.0.0.1:27017/admin?directConnection=true&serverSelectionTimeoutMS=2000`);
try {
  admin.adminCommand({ replSetGetStatus: 1 });
} catch (error) {
  if (error.code !== NOT_YET_INITIALIZED) throw error;
  // By the name under which the other containers know it.
  admin.adminCommand({ replSetInitiate: { _id: "rs0", members: [{ _id: 0, host: "mongo:27017" }] } });
}
const { isWritablePrimary, secondary } = admin.adminCommand({ hello: 1 });
quit(isWritablePrimary || secondary ? 0 : 1);
