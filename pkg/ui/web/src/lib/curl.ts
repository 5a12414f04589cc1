// Requests as commands for a shell.

import { type Params, pairs, tenantOf } from "./api.ts";

function shell(text: string): string {
  return /^[A-Za-z0-9_./:@%+=,-]+$/.test(text) ? text : `'${text.replace(/'/g, `'\\''`)}'`;
}

/** The request by curl: readable, as each parameter stands by itself. */
export function curl(url: URL, params: Params): string {
  const tenant = tenantOf(params);
  const parts = ["curl", "-sG", shell(url.href)];
  if (tenant !== "") parts.push("-H", shell(`THANOS-TENANT: ${tenant}`));
  for (const [name, value] of pairs(params)) parts.push("--data-urlencode", shell(`${name}=${value}`));
  return parts.join(" ");
}
