// Fails when ../dist is not what the sources give. Contents are compared, as other versions of zlib pack otherwise.

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";

const here = dirname(fileURLToPath(import.meta.url));
const committed = join(here, "../dist");
const built = mkdtempSync(join(tmpdir(), "aion-ui-"));
execFileSync(process.execPath, [join(here, "build.mjs"), built], { stdio: "inherit" });

function contents(folder) {
  const read = (name) => {
    const raw = readFileSync(join(folder, name));
    return name.endsWith(".gz") ? gunzipSync(raw) : raw;
  };
  return new Map(readdirSync(folder).map((name) => [name, read(name)]));
}

const [old, fresh] = [contents(committed), contents(built)];
rmSync(built, { recursive: true });
const differ = [...new Set([...old.keys(), ...fresh.keys()])].filter((name) => !old.has(name) || !fresh.has(name) || !old.get(name).equals(fresh.get(name)));
if (differ.length > 0) {
  console.error(`pkg/ui/dist is not what pkg/ui/web gives; run npm run build there. Different: ${differ.join(", ")}`);
  process.exit(1);
}
