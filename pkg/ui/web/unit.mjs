// Runs the tests of pure logic: bundled for Node, as it reads no TypeScript by itself.

import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const folder = join(here, "tests/unit");
const outdir = mkdtempSync(join(tmpdir(), "aion-ui-"));
const entryPoints = readdirSync(folder).filter((name) => name.endsWith(".test.ts")).map((name) => join(folder, name));
await build({ entryPoints, outdir, bundle: true, platform: "node", format: "esm", outExtension: { ".js": ".mjs" }, define: { localStorage: "undefined" } });
const { status } = spawnSync(process.execPath, ["--test", outdir], { stdio: "inherit" });
rmSync(outdir, { recursive: true });
process.exit(status ?? 1);
