// What serves this page, and which pages make sense there.

export interface Page {
  name: string;
  /** Segments that open it, the first is its own. */
  paths: string[];
}

export interface Site {
  component: string;
  version: string;
  pages: Page[];
  /** Understands Thanos' parameters: deduplication, partial response, resolutions, stores, tenants. */
  thanos: boolean;
}

export const TITLES: Record<string, string> = {
  query: "Query",
  explore: "Explore",
  targets: "Targets",
  discovery: "Discovery",
  alerts: "Alerts",
  rules: "Rules",
  cardinality: "Cardinality",
  topology: "Endpoints",
  blocks: "Blocks",
  pipeline: "Pipeline",
  queries: "Queries",
  status: "Status",
};

/** Second keys of `g …`. */
export const KEYS: Record<string, string> = {
  q: "query",
  e: "explore",
  t: "targets",
  d: "discovery",
  a: "alerts",
  r: "rules",
  c: "cardinality",
  o: "topology",
  b: "blocks",
  p: "pipeline",
  u: "queries",
  s: "status",
};

export async function loadSite(): Promise<Site> {
  const response = await fetch(new URL("ui.json", document.baseURI));
  if (!response.ok) throw new Error(`ui.json: HTTP ${response.status}`);
  return (await response.json()) as Site;
}

export function pathOf(site: Site, name: string): string | undefined {
  return site.pages.find((page) => page.name === name)?.paths[0];
}
