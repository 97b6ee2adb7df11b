import createClient from "openapi-fetch";

export function deaiIndex(baseUrl = "http://127.0.0.1:8000", { key, headers, ...options } = {}) {
  const named = key ? { authorization: `Bearer ${key}`, ...headers } : headers;
  return createClient({ baseUrl: baseUrl.replace(/\/+$/, ""), headers: named, ...options });
}

export async function* levels(client, index, query = {}) {
  for (let cursor = null; ; ) {
    const asked = { ...query, shape: "rows", ...(cursor && { cursor }) };
    const { data, error } = await client.GET("/v1/indices/{index_id}/levels", {
      params: { path: { index_id: index }, query: asked },
    });
    if (error) throw Object.assign(new Error(error.detail), { problem: error });
    yield* data.data;
    cursor = data.next;
    if (cursor === null) return;
  }
}

export function stream(baseUrl, index, listener) {
  const source = new EventSource(`${baseUrl.replace(/\/+$/, "")}/v1/indices/${encodeURIComponent(index)}/stream`);
  source.addEventListener("level", (event) => listener(JSON.parse(event.data)));
  return source;
}
