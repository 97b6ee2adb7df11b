// What a program written against the generated types does: everything here is checked by tsc against our OpenAPI.
import createClient from "openapi-fetch";
import type { components, operations, paths } from "./schema.js";

type Latest = components["schemas"]["Latest"];
type Problem = components["schemas"]["Problem"];
type LevelsQuery = NonNullable<operations["levels-list_levels"]["parameters"]["query"]>;

declare const process: { argv: string[] };
const client = createClient<paths>({ baseUrl: process.argv[2] ?? "" });
const path = { index_id: "deai" };

function got<T>(answer: { data?: T; error?: unknown }): T {
  if (answer.data === undefined) throw new Error(JSON.stringify(answer.error));
  return answer.data;
}

const latest: Latest = got(await client.GET("/v1/indices/{index_id}/latest", { params: { path } }));
const change: number | null = latest.change.d1;

const levels: number[] = [];
const query: LevelsQuery = { interval: "1h", start: "2024-01-01", limit: 4000 };
let cursor: string | null = null;
do {
  const page: components["schemas"]["Levels"] | string = got(
    await client.GET("/v1/indices/{index_id}/levels", {
      params: { path, query: cursor === null ? query : { ...query, cursor } },
    }),
  );
  if (typeof page === "string") throw new Error("CSV was not asked for");
  if (!Array.isArray(page.data)) throw new Error("rows were asked for");
  levels.push(...page.data.map((row) => row.level ?? Number.NaN)); // null: a session without a level (at=close)
  cursor = page.next;
} while (cursor !== null);

const csv: string = got(
  await client.GET("/v1/indices/{index_id}/levels.csv", { params: { path, query: { last: 3 } }, parseAs: "text" }),
);
const beta = got(
  await client.GET("/v1/indices/{index_id}/beta", { params: { path, query: { benchmark: "QQQ", sessions: 90 } } }),
);
const members = got(await client.GET("/v1/indices/{index_id}/constituents", { params: { path } }));
const names: string[] = members.data.map((one) => one.asset);
const sources: (string | null)[] = members.data.map((one) => one.supply_source);

const refused = await client.GET("/v1/indices/{index_id}/latest", { params: { path: { index_id: "deia" } } });
const problem: Problem | undefined = refused.error;

// @ts-expect-error an interval that is not offered does not compile
const wrong: LevelsQuery = { interval: "2h" };
// @ts-expect-error nor does an address that there is not
void (() => client.GET("/v1/indexes"));

console.log(
  JSON.stringify({
    index: latest.index,
    level: latest.level,
    status: latest.status,
    change,
    count: levels.length,
    last: levels.at(-1),
    csv: csv.split("\r\n"),
    beta: beta.beta,
    n: beta.n,
    names,
    sources,
    code: problem?.code,
    status_code: refused.response.status,
    wrong: wrong.interval,
  }),
);
