// Walks all pages with a client generated from the OpenAPI 3.1 document: node build/list_clusters.js http://127.0.0.1:8650

import createClient from "openapi-fetch";

import type { components, paths } from "./schema.js";

type Cluster = components["schemas"]["ClusterItem"];

const baseUrl = process.argv[2];
if (baseUrl === undefined) {
  throw new Error("the gateway's address is missing");
}
const client = createClient<paths>({ baseUrl });

const clusters = new Map<string, Cluster>();
let cursor: string | undefined;
let total: number | undefined;
let pages = 0;
do {
  const query = { limit: 30, ...(cursor === undefined ? {} : { cursor }) };
  const { data, error } = await client.GET("/clusters", { params: { query } });
  if (error !== undefined) {
    throw new Error(`${error.code}: ${error.title}`);
  }
  if (typeof data === "string") {
    throw new Error("the answer is not JSON, although nothing else was asked for");
  }
  if (!data.complete) {
    throw new Error(`incomplete without ${data.unreachable.join(", ")}`);
  }
  for (const cluster of data.items) {
    if (clusters.has(cluster.id)) {
      throw new Error(`${cluster.id} came twice`);
    }
    clusters.set(cluster.id, cluster);
  }
  total = data.total ?? undefined;
  cursor = data.next_cursor ?? undefined;
  pages += 1;
} while (cursor !== undefined);

if (clusters.size === 0 || clusters.size !== total) {
  throw new Error(`${clusters.size} clusters were listed, ${total} were announced`);
}
const running = [...clusters.values()].filter(({ status }) => status?.state === "running").length;
if (running === 0) {
  throw new Error("no cluster has the state running");
}

const refused = await client.GET("/clusters", { params: { query: { cursor: "no cursor" } } });
if (refused.response.status !== 400 || refused.error?.code !== "INVALID_CURSOR") {
  throw new Error(`a wrong cursor was answered with ${refused.response.status}`);
}

console.log(`TypeScript, OpenAPI 3.1: ${clusters.size} clusters on ${pages} pages, ${running} running`);
