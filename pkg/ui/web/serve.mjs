// Serves the built bundle before any Prometheus-compatible server, for work on the pages and for tests:
//   node serve.mjs --url http://localhost:9090 [--port 8080] [--component query] [--prefix /a/b]

import { readFileSync } from "node:fs";
import { createServer, request } from "node:http";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { gunzipSync } from "node:zlib";

const dist = join(dirname(fileURLToPath(import.meta.url)), "../dist");
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
const TYPES = { js: "text/javascript", css: "text/css", txt: "text/plain; charset=utf-8", html: "text/html; charset=utf-8" };
const PATHS = {
  query: ["graph", "query"],
  explore: ["explore"],
  topology: ["stores", "topology"],
  targets: ["targets"],
  discovery: ["service-discovery"],
  alerts: ["alerts"],
  rules: ["rules"],
  cardinality: ["cardinality", "tsdb-status"],
  pipeline: ["pipeline"],
  blocks: ["blocks", "loaded", "global"],
  queries: ["queries"],
  status: ["status", "flags", "config"],
};
/** As the components have them. */
const PAGES = {
  prometheus: ["query", "explore", "targets", "discovery", "alerts", "rules", "cardinality", "status"],
  server: ["query", "explore", "targets", "discovery", "alerts", "rules", "cardinality", "queries", "status"],
  query: ["query", "explore", "topology", "targets", "alerts", "rules", "cardinality", "queries", "status"],
  store: ["blocks", "status"],
  compact: ["pipeline", "blocks", "status"],
};

function sendFile(response, name) {
  const contents = gunzipSync(readFileSync(join(dist, `${name}.gz`)));
  response.writeHead(200, { "content-type": TYPES[name.split(".").at(-1)], "content-security-policy": POLICY });
  response.end(contents);
}

function pass(incoming, response, target) {
  const { hostname, port } = target;
  const outgoing = request({ hostname, port, path: incoming.url, method: incoming.method, headers: { ...incoming.headers, host: target.host } }, (answer) => {
    response.writeHead(answer.statusCode, answer.headers);
    answer.pipe(response);
  });
  outgoing.on("error", (error) => {
    response.writeHead(502, { "content-type": "text/plain" });
    response.end(String(error));
  });
  incoming.pipe(outgoing);
}

/** Resolves to the server when it listens; port 0 = any. */
export function serve({ url, port = 0, component = "prometheus", prefix = "" }) {
  const target = new URL(url);
  const pages = PAGES[component].map((name) => ({ name, paths: PATHS[name] }));
  const site = { component, version: "", thanos: component !== "prometheus", pages };
  const server = createServer((incoming, response) => {
    if (!incoming.url.startsWith(prefix)) return response.writeHead(404).end();
    incoming.url = incoming.url.slice(prefix.length);
    const path = incoming.url.split("?")[0];
    if (path === "/ui.json") {
      response.writeHead(200, { "content-type": "application/json" });
      return response.end(JSON.stringify(site));
    }
    const asset = /^\/assets\/([\w.-]+)$/.exec(path);
    if (asset) return sendFile(response, asset[1]);
    if (path === "/" || pages.some(({ paths }) => paths.includes(path.slice(1)))) return sendFile(response, "index.html");
    return pass(incoming, response, target);
  });
  return new Promise((resolve) => server.listen(port, "127.0.0.1", () => resolve(server)));
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const args = process.argv.slice(2);
  const flag = (name) => (args.includes(`--${name}`) ? args[args.indexOf(`--${name}`) + 1] : undefined);
  const given = { component: flag("component"), prefix: flag("prefix"), port: Number(flag("port") ?? 8080) };
  const server = await serve({ url: flag("url") ?? "http://localhost:9090", ...Object.fromEntries(Object.entries(given).filter(([, v]) => v !== undefined)) });
  console.log(`http://localhost:${server.address().port}${given.prefix ?? ""}/`);
}
