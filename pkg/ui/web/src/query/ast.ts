// The tree of a query as `/api/v1/parse_query` tells it, and its nodes as PromQL again.

import { isPlainMetric, labelName, quoted } from "../lib/labels.ts";
import { formatDuration } from "../lib/time.ts";

export interface Matcher {
  name: string;
  type: "=" | "!=" | "=~" | "!~";
  value: string;
}

interface Timed {
  offset: number;
  timestamp: number | null;
  startOrEnd: "start" | "end" | null;
}

export interface Selector extends Timed {
  type: "vectorSelector" | "matrixSelector";
  name: string;
  matchers: Matcher[];
  range?: number;
}

interface Matching {
  card: string;
  labels: string[];
  on: boolean;
  include: string[];
}

export type Node =
  | Selector
  | ({ type: "subquery"; expr: Node; range: number; step: number } & Timed)
  | { type: "aggregation"; op: string; expr: Node; param: Node | null; grouping: string[]; without: boolean }
  | { type: "binaryExpr"; op: string; lhs: Node; rhs: Node; matching: Matching | null; bool: boolean }
  | { type: "call"; func: { name: string }; args: Node[] }
  | { type: "parenExpr" | "stepInvariant"; expr: Node }
  | { type: "unaryExpr"; op: string; expr: Node }
  | { type: "numberLiteral" | "stringLiteral"; val: string }
  | { type: "placeholder"; children: Node[] };

export function children(node: Node): Node[] {
  switch (node.type) {
    case "aggregation":
      return node.param ? [node.param, node.expr] : [node.expr];
    case "binaryExpr":
      return [node.lhs, node.rhs];
    case "call":
      return node.args;
    case "subquery":
    case "parenExpr":
    case "stepInvariant":
    case "unaryExpr":
      return [node.expr];
    case "placeholder":
      return node.children;
    default:
      return [];
  }
}

export function selectors(node: Node): Selector[] {
  if (node.type === "vectorSelector" || node.type === "matrixSelector") return [node];
  return children(node).flatMap(selectors);
}

export function selectorText(name: string, matchers: readonly Matcher[]): string {
  const rest = matchers.filter((m) => !(m.name === "__name__" && m.type === "=" && m.value === name));
  const parts = rest.map((m) => `${labelName(m.name)}${m.type}${quoted(m.value)}`);
  if (name !== "" && !isPlainMetric(name)) parts.unshift(quoted(name));
  const before = isPlainMetric(name) ? name : "";
  return parts.length === 0 ? before || "{}" : `${before}{${parts.join(",")}}`;
}

/** PromQL of a node; the same value, though not always the same letters. */
export function print(node: Node): string {
  switch (node.type) {
    case "vectorSelector":
    case "matrixSelector": {
      const range = node.range === undefined ? "" : `[${formatDuration(node.range)}]`;
      return `${selectorText(node.name, node.matchers)}${range}${timed(node)}`;
    }
    case "subquery": {
      const step = node.step > 0 ? formatDuration(node.step) : "";
      return `${print(node.expr)}[${formatDuration(node.range)}:${step}]${timed(node)}`;
    }
    case "aggregation": {
      const param = node.param ? `${print(node.param)}, ` : "";
      return `${aggregationHead(node)} (${param}${print(node.expr)})`;
    }
    case "binaryExpr":
      return `${print(node.lhs)} ${binaryHead(node)} ${print(node.rhs)}`;
    case "call":
      return `${node.func.name}(${node.args.map(print).join(", ")})`;
    case "parenExpr":
      return `(${print(node.expr)})`;
    case "stepInvariant":
      return print(node.expr);
    case "unaryExpr":
      return `${node.op}${print(node.expr)}`;
    case "numberLiteral":
      return node.val;
    case "stringLiteral":
      return quoted(node.val);
    case "placeholder":
      return "…";
  }
}

function aggregationHead(node: Extract<Node, { type: "aggregation" }>): string {
  if (!node.without && node.grouping.length === 0) return node.op;
  return `${node.op} ${node.without ? "without" : "by"} (${node.grouping.map(labelName).join(", ")})`;
}

function binaryHead(node: Extract<Node, { type: "binaryExpr" }>): string {
  let text = node.op + (node.bool ? " bool" : "");
  const matching = node.matching;
  if (!matching) return text;
  if (matching.on || matching.labels.length > 0) text += ` ${matching.on ? "on" : "ignoring"} (${matching.labels.map(labelName).join(", ")})`;
  if (matching.card === "many-to-one") text += ` group_left (${matching.include.map(labelName).join(", ")})`;
  if (matching.card === "one-to-many") text += ` group_right (${matching.include.map(labelName).join(", ")})`;
  return text;
}

/** One line that stands for a node in a tree. */
export function head(node: Node): string {
  switch (node.type) {
    case "aggregation":
      return aggregationHead(node);
    case "binaryExpr":
      return binaryHead(node);
    case "call":
      return `${node.func.name}(…)`;
    case "subquery":
      return `[${formatDuration(node.range)}:${node.step > 0 ? formatDuration(node.step) : ""}]`;
    case "unaryExpr":
      return node.op;
    default:
      return print(node);
  }
}

function timed(node: Timed): string {
  let text = "";
  if (node.startOrEnd) text += ` @ ${node.startOrEnd}()`;
  else if (typeof node.timestamp === "number") text += ` @ ${(node.timestamp / 1000).toFixed(3)}`;
  if (node.offset > 0) text += ` offset ${formatDuration(node.offset)}`;
  if (node.offset < 0) text += ` offset -${formatDuration(-node.offset)}`;
  return text;
}
