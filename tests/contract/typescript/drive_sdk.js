// Drives a tenant with SailPoint's TypeScript SDK, as drive_sdk.py does with the one for Python: what to
// drive comes on standard input, what the SDK read goes to standard output, both as JSON. Nothing of the SDK
// is changed.
"use strict";

console.log = console.error; // the SDK prints warnings

const sdk = require("sailpoint-api-client");

const PATCH = [
  { op: "replace", path: "/completionStatus", value: "Error" },
  { op: "replace", path: "/completed", value: "2024-05-17T19:33:16.470Z" },
];
const APIS = { beta: sdk.TaskManagementBetaApi, v2024: sdk.TaskManagementV2024Api };

function connect(version, tenant) {
  const configuration = new sdk.Configuration({
    baseurl: tenant.url,
    clientId: tenant.client_id,
    clientSecret: tenant.client_secret,
    tokenUrl: `${tenant.url}/oauth/token`,
  });
  configuration.experimental = true;
  const api = new APIS[version](configuration);
  return (name, parameters) => api[name]({ xSailPointExperimental: "true", ...parameters });
}

const counted = (answer) => ({ status: answer.status, count: answer.headers["x-total-count"] ?? null });

async function failure(call) {
  try {
    return { read: (await call()).data };
  } catch (error) {
    return { error: error.name, status: error.response?.status ?? null };
  }
}

async function drive({ version, has, ids, tenant, sparse_tenant }) {
  const call = connect(version, tenant);
  const data = async (name, parameters) => (await call(name, parameters)).data;
  const listed = "getTaskStatusList";
  const seen = {};
  for (const name of ["done", "failed", "running", "stuck"]) {
    seen[name] = await data("getTaskStatus", { id: ids[name] });
  }
  seen.unknown = await failure(() => call("getTaskStatus", { id: ids.unknown }));
  seen.list = await data(listed);
  seen.by_id = await data(listed, { filters: `id in ("${ids.done}","${ids.running}")` });
  seen.by_status = await data(listed, { filters: 'completionStatus eq "ERROR"' });
  seen.newest_first = await data(listed, { sorters: "-created" });
  seen.second_page = await data(listed, { limit: 1, offset: 1, sorters: "created" });
  seen.count = counted(await call(listed, { limit: 1, count: true }));
  seen.bad_filter = await failure(() => call(listed, { filters: 'progress eq "x"' }));
  if (has.includes("pending_endpoint")) {
    seen.pending = await data("getPendingTasks");
    seen.pending_headers = counted(await call("getPendingTaskHeaders", { limit: 1, count: true }));
  }
  seen.updated = await data("updateTaskStatus", {
    id: ids.to_clear,
    [version === "beta" ? "jsonPatchOperationBeta" : "jsonPatchOperationV2024"]: PATCH,
  });
  const sparse = connect(version, sparse_tenant);
  seen.sparse = await failure(() => sparse("getTaskStatus", { id: ids.sparse }));
  return seen;
}

async function main() {
  const pieces = [];
  for await (const piece of process.stdin) pieces.push(piece);
  const seen = await drive(JSON.parse(Buffer.concat(pieces)));
  process.stdout.write(JSON.stringify(seen));
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
