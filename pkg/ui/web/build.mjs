// Builds the bundle into ../dist: every file compressed, and files.rs, which the Rust side embeds. Same sources, same bytes.

import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { licences } from "./licences.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const dist = process.argv[2] ?? join(here, "../dist");

const result = await build({
  absWorkingDir: here,
  entryPoints: { app: "src/main.tsx" },
  outdir: "out",
  bundle: true,
  splitting: true,
  format: "esm",
  target: ["es2022", "chrome109", "firefox110", "safari16.4"],
  minify: true,
  legalComments: "none",
  jsx: "automatic",
  jsxImportSource: "preact",
  entryNames: "[name]-[hash]",
  chunkNames: "[name]-[hash]",
  metafile: true,
  write: false,
});

const files = new Map(result.outputFiles.map((file) => [basename(file.path), Buffer.from(file.contents)]));
const entry = (ending) => [...files.keys()].find((name) => name.startsWith("app-") && name.endsWith(ending));
const html = readFileSync(join(here, "src/index.html"), "utf8");
files.set("index.html", Buffer.from(html.replace("{{style}}", entry(".css")).replace("{{main}}", entry(".js"))));
files.set("third-party-licenses.txt", Buffer.from(licences(result.metafile, here)));

rmSync(dist, { recursive: true, force: true });
mkdirSync(dist, { recursive: true });
let rust = "// Written by web/build.mjs.\n&[\n";
for (const [name, contents] of [...files].sort(([a], [b]) => (a < b ? -1 : 1))) {
  writeFileSync(join(dist, `${name}.gz`), gzipSync(contents, { level: 9 }));
  const digest = createHash("sha256").update(contents).digest("hex").slice(0, 16);
  rust += `    File { name: "${name}", digest: "${digest}", gzip: include_bytes!("${name}.gz") },\n`;
}
writeFileSync(join(dist, "files.rs"), `${rust}]\n`);
