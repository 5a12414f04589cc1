// The licences of the packages whose code is in the bundle.

import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

export function licences(metafile, root) {
  const names = new Set();
  for (const [path, input] of Object.entries(metafile.inputs)) {
    const match = /^node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path);
    if (match && input.bytes > 0) names.add(match[1]);
  }
  const texts = [...names].sort().map((name) => {
    const folder = join(root, "node_modules", name);
    const { version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
    const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
    const text = file ? readFileSync(join(folder, file), "utf8").trim() : "";
    return `${name} ${version}, ${license}\n\n${text}`;
  });
  return `${texts.join("\n\n----------------------------------------\n\n")}\n`;
}
