// What a program written with the npm package does: everything here is checked by tsc against our OpenAPI.
import { deaiIndex, levels as allLevels } from "deai-index";
import type { LevelsQuery, Schema } from "deai-index";
import type {} from "deai-index/element";

type Latest = Schema<"Latest">;
type Problem = Schema<"Problem">;

declare const process: { argv: string[] };
const client = deaiIndex(process.argv[2]);
const element: () => HTMLElement = () => document.createElement("deai-index");
const path = { index_id: "deai" };

function got<T>(answer: { data?: T; error?: unknown }): T {
  if (answer.data === undefined) throw new Error(JSON.stringify(answer.error));
  return answer.data;
}

const latest: Latest = got(await client.GET("/v1/indices/{index_id}/latest", { params: { path } }));
const change: number | null = latest.change.d1;

const levels: number[] = [];
const query: LevelsQuery = { interval: "1h", start: "2024-01-01", limit: 4000 };
for await (const row of allLevels(client, "deai", query)) levels.push(row.level ?? Number.NaN); // null: at=close without one
const failing = await allLevels(client, "deia").next().catch((error: Error) => error.message);

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
    failing,
    element: typeof element,
  }),
);
