/** GraphQL over HTTP as its own audits ask for it. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { serverAudits } from "graphql-http";

const audits = serverAudits({ url: `${process.env["PARLEY_URL"]!}/graphql` });

for (const audit of audits) {
  test(audit.name, async () => {
    const found = await audit.fn();
    assert.equal(found.status, "ok", "reason" in found ? `${found.status}: ${found.reason}` : found.status);
  });
}
