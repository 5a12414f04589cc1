// Queries that were run here, the latest first.

import { remembered } from "../lib/memory.ts";

const KEPT = 200;

export interface Ran {
  expr: string;
  at_ms: number;
}

export const HISTORY = remembered<Ran[]>("history", []);

export function noteQuery(expr: string, at_ms: number): void {
  const text = expr.trim();
  if (text === "") return;
  HISTORY.set([{ expr: text, at_ms }, ...HISTORY.get().filter((ran) => ran.expr !== text)].slice(0, KEPT));
}
