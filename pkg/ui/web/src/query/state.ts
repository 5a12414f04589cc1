// Panels and the address: what `g0.expr=…&g1.…` of Prometheus and Thanos say, and how we write it.

import { autoStep, formatDuration, formatTime, parseDuration, parseTime } from "../lib/time.ts";
import { TENANT_PARAM, type Params } from "../lib/api.ts";

export type Tab = "table" | "graph" | "explain";
export type Display = "lines" | "stacked" | "heatmap";
/** How close the steps of an automatic resolution are, as Prometheus 3 has it. */
export type Density = "low" | "medium" | "high";

export interface Panel {
  expr: string;
  tab: Tab;
  display: Display;
  range_ms: number;
  /** Undefined = now. */
  end_ms: number | undefined;
  /** Undefined = by the range. */
  step_ms: number | undefined;
  density: Density;
  /** The least value that a graph shows; undefined = by its values. */
  y_min: number | undefined;
  exemplars: boolean;
  /** The parts of the query above its answer. */
  tree: boolean;
  dedup: boolean;
  partial: boolean;
  /** `auto`, a duration, or empty for the server's default. */
  resolution: string;
  /** Selectors of endpoints, `{__address__="…"}`. */
  stores: string[];
  /** As the address had it, kept for other pages that read it. */
  engine: string;
  /** Empty = the one that is set for all queries. */
  tenant: string;
}

export const RANGE_MS = 3_600_000;
/** Steps of an automatic resolution, at most. */
const POINTS: Record<Density, number> = { low: 100, medium: 250, high: 750 };
const PANELS_MAX = 50;

export function fresh(like?: Panel): Panel {
  const panel: Panel = {
    expr: "",
    tab: "graph",
    display: "lines",
    range_ms: RANGE_MS,
    end_ms: undefined,
    step_ms: undefined,
    density: "medium",
    y_min: undefined,
    exemplars: false,
    tree: false,
    dedup: true,
    partial: true,
    resolution: "",
    stores: [],
    engine: "",
    tenant: "",
  };
  return like ? { ...like, expr: "" } : panel;
}

/** The panels of an address; one empty panel where it names none. */
export function parsePanels(search: string): Panel[] {
  const panels = new Map<number, Map<string, string>>();
  for (const [key, value] of new URLSearchParams(search)) {
    const match = /^g(\d{1,4})\.(\w+)$/.exec(key);
    if (!match) continue;
    const index = Number(match[1]);
    const fields = panels.get(index) ?? new Map<string, string>();
    panels.set(index, fields.set(match[2] as string, value));
  }
  const sorted = [...panels].sort(([a], [b]) => a - b).slice(0, PANELS_MAX);
  return sorted.length === 0 ? [fresh()] : sorted.map(([, fields]) => parsePanel(fields));
}

function parsePanel(fields: Map<string, string>): Panel {
  const get = (name: string) => fields.get(name) ?? "";
  const isOff = (name: string) => ["0", "false"].includes(get(name));
  const isOn = (name: string) => ["1", "true"].includes(get(name));
  const tab = isOn("analyze") ? "explain" : parseTab(get("tab"));
  const [end, moment] = [parseTime(get("end_input")), parseTime(get("moment_input"))];
  // Prometheus 2 and Thanos write a step in seconds; Prometheus 3 says whether it is in force.
  const type = get("res_type");
  const step = type === "auto" ? undefined : parseDuration(get("res_step") || get("step_input"));
  const least = get("y_axis_min") === "" ? NaN : Number(get("y_axis_min"));
  return {
    ...fresh(),
    expr: get("expr"),
    tab,
    display: parseDisplay(get("display_mode"), get("stacked")),
    range_ms: parseDuration(get("range_input")) || RANGE_MS,
    end_ms: tab === "table" ? (moment ?? end) : (end ?? moment),
    step_ms: step || undefined,
    density: parseDensity(get("res_density")),
    y_min: Number.isFinite(least) ? least : undefined,
    exemplars: isOn("show_exemplars"),
    tree: isOn("show_tree"),
    dedup: !isOff("deduplicate"),
    partial: !isOff("partial_response"),
    resolution: parseResolution(get("max_source_resolution")),
    stores: parseStores(get("store_matches")),
    engine: get("engine"),
    tenant: get("tenant"),
  };
}

function parseDensity(text: string): Density {
  return text === "low" || text === "high" ? text : "medium";
}

/** `0`, `1` are Prometheus 2's and Thanos'; without a tab they all show the table. What Thanos analyzes is explained. */
function parseTab(text: string): Tab {
  if (text === "0" || text === "graph") return "graph";
  return text === "explain" || text === "2" ? "explain" : "table";
}

function parseDisplay(mode: string, stacked: string): Display {
  if (mode === "stacked" || mode === "heatmap") return mode;
  return stacked === "1" || stacked === "true" ? "stacked" : "lines";
}

function parseResolution(text: string): string {
  if (text === "auto") return text;
  return parseDuration(text) === undefined ? "" : text;
}

/** Thanos writes a list of endpoints as JSON. */
function parseStores(text: string): string[] {
  try {
    const list: unknown = JSON.parse(text);
    if (!Array.isArray(list)) return [];
    const names = list.map((one: unknown) => (typeof one === "string" ? one : (one as { name?: unknown } | null)?.name));
    return names.filter((name): name is string => typeof name === "string" && name !== "");
  } catch {
    return [];
  }
}

/** The address of these panels; what is as usual is left out. */
export function searchOf(panels: readonly Panel[]): string {
  const out = new URLSearchParams();
  panels.forEach((panel, i) => {
    const add = (name: string, value: string, isShown = true) => isShown && out.append(`g${i}.${name}`, value);
    add("expr", panel.expr);
    add("tab", panel.tab);
    add("display_mode", panel.display, panel.display !== "lines");
    add("range_input", formatDuration(panel.range_ms));
    if (panel.end_ms !== undefined) {
      add("end_input", formatTime(panel.end_ms));
      add("moment_input", formatTime(panel.end_ms));
    }
    if (panel.step_ms !== undefined) {
      add("res_type", "fixed");
      add("res_step", String(panel.step_ms / 1000));
    } else if (panel.density !== "medium") {
      add("res_type", "auto");
      add("res_density", panel.density);
    }
    add("y_axis_min", String(panel.y_min), panel.y_min !== undefined);
    add("show_exemplars", "1", panel.exemplars);
    add("show_tree", "1", panel.tree);
    add("deduplicate", "0", !panel.dedup);
    add("partial_response", "0", !panel.partial);
    add("max_source_resolution", panel.resolution, panel.resolution !== "");
    add("store_matches", JSON.stringify(panel.stores), panel.stores.length > 0);
    add("engine", panel.engine, panel.engine !== "");
    add("tenant", panel.tenant, panel.tenant !== "");
  });
  return `?${out}`;
}

export interface Range {
  start_ms: number;
  end_ms: number;
  step_ms: number;
}

/** The steps to ask for. They lie at multiples of the step, so that a graph does not change its shape when it moves. */
export function rangeOf(panel: Panel, now_ms: number): Range {
  const step_ms = panel.step_ms ?? autoStep(panel.range_ms, POINTS[panel.density]);
  const end = panel.end_ms ?? now_ms;
  const end_ms = panel.step_ms === undefined ? Math.floor(end / step_ms) * step_ms : end;
  const steps = Math.max(Math.floor(panel.range_ms / step_ms), 1);
  return { start_ms: end_ms - steps * step_ms, end_ms, step_ms };
}

/** Most series that one answer brings; the answer says when there are more. */
export const SERIES_MAX = 1000;

export function thanosParams(panel: Panel, thanos: boolean): Params {
  if (!thanos) return {};
  return {
    [TENANT_PARAM]: panel.tenant,
    dedup: panel.dedup ? undefined : "false",
    partial_response: panel.partial ? undefined : "false",
    max_source_resolution: panel.resolution,
    "storeMatch[]": panel.stores.map((name) => `{__address__=${JSON.stringify(name)}}`),
  };
}

export function rangeParams(panel: Panel, range: Range, thanos: boolean): Params {
  return {
    query: panel.expr,
    start: range.start_ms / 1000,
    end: range.end_ms / 1000,
    step: range.step_ms / 1000,
    stats: "true",
    limit: SERIES_MAX,
    ...thanosParams(panel, thanos),
  };
}

export function instantParams(panel: Panel, now_ms: number, thanos: boolean): Params {
  const time = (panel.end_ms ?? now_ms) / 1000;
  return { query: panel.expr, time, stats: "true", limit: SERIES_MAX, ...thanosParams(panel, thanos) };
}
