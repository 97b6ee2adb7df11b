import type { Client, ClientOptions } from "openapi-fetch";
import type { components, operations, paths } from "./schema.js";

export type { components, operations, paths };
export type Schema<Name extends keyof components["schemas"]> = components["schemas"][Name];
export type LevelsQuery = NonNullable<operations["levels-list_levels"]["parameters"]["query"]>;

/** A client of a server, each address typed; `key` is sent as a bearer token. */
export function deaiIndex(baseUrl?: string, options?: ClientOptions & { key?: string }): Client<paths>;

/** The levels of an index, all pages, oldest first. Throws an Error whose `problem` is what the server said. */
export function levels(
  client: Client<paths>,
  index: string,
  query?: Omit<LevelsQuery, "cursor" | "shape">,
): AsyncGenerator<Schema<"LevelPoint"> | Schema<"SessionLevel">>;

/** Each new level as it is published, in a browser; ends by `close()`. It reconnects by itself and misses none. */
export function stream(baseUrl: string, index: string, listener: (level: StreamedLevel) => void): EventSource;

export interface StreamedLevel {
  index: string;
  simulated: boolean;
  time: string;
  level: number;
  status: string;
  carried_weight: number;
  revision: number;
  published_at: string;
}
