// Label sets: as text, sorted, compared.

export type Labels = Record<string, string>;

const PLAIN_NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;
const PLAIN_METRIC = /^[A-Za-z_:][A-Za-z0-9_:]*$/;

export function quoted(text: string): string {
  return `"${text.replace(/\\/g, "\\\\").replace(/"/g, '\\"').replace(/\n/g, "\\n")}"`;
}

export function labelName(name: string): string {
  return PLAIN_NAME.test(name) ? name : quoted(name);
}

export function isPlainMetric(name: string): boolean {
  return PLAIN_METRIC.test(name);
}

/** Names and values without the metric's name, by name. */
export function sortedPairs(labels: Labels): [string, string][] {
  return Object.entries(labels)
    .filter(([name]) => name !== "__name__")
    .sort(([a], [b]) => (a < b ? -1 : 1));
}

/** `up{job="a"}`, a selector that finds this series. */
export function seriesText(labels: Labels): string {
  const name = labels.__name__ ?? "";
  const rest = sortedPairs(labels).map(([n, v]) => `${labelName(n)}=${quoted(v)}`);
  if (name !== "" && !isPlainMetric(name)) rest.unshift(quoted(name));
  const before = isPlainMetric(name) ? name : "";
  return rest.length === 0 ? before || "{}" : `${before}{${rest.join(", ")}}`;
}

/** The labels that all have with the same value. */
export function common(sets: readonly Labels[]): Labels {
  const [first, ...rest] = sets;
  if (first === undefined || rest.length === 0) return {};
  return Object.fromEntries(Object.entries(first).filter(([n, v]) => rest.every((set) => set[n] === v)));
}

export function without(labels: Labels, names: Labels): Labels {
  return Object.fromEntries(Object.entries(labels).filter(([n]) => !(n in names)));
}
