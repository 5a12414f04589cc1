// What pages with lists have in common: the first rows, a search over texts, a link to a query.

import { useState } from "preact/hooks";
import { plural } from "../lib/format.ts";
import { useParam } from "../lib/router.ts";
import { type Panel, fresh, searchOf } from "../query/state.ts";

export interface Rows<T> {
  shown: readonly T[];
  more: preact.JSX.Element | null;
}

/** The first `first` rows, and a button for the next: a browser gets slow with ten thousands. */
export function useRows<T>(all: readonly T[], first = 200): Rows<T> {
  const [most, setMost] = useState(first);
  const left = all.length - most;
  const more = left > 0 ? <button onClick={() => setMost(most + 5 * first)}>Show more: {plural(left, "row")} left</button> : null;
  return { shown: all.slice(0, most), more };
}

/** A search field whose text is in the address, and a test for texts that hold all of its words. */
export function useSearch(placeholder: string, param = "search"): [preact.JSX.Element, (...texts: string[]) => boolean, string] {
  const [text, setText] = useParam(param);
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const field = <input type="search" aria-label={placeholder} placeholder={placeholder} value={text} size={28} onInput={(e) => setText(e.currentTarget.value)} />;
  const fits = (...texts: string[]) => {
    if (words.length === 0) return true;
    const all = texts.join("\n").toLowerCase();
    return words.every((word) => all.includes(word));
  };
  return [field, fits, text];
}

interface ChoiceProps<T extends string> {
  label: string;
  values: readonly (readonly [T, string])[];
  value: T;
  onValue: (value: T) => void;
}

export function Choice<T extends string>({ label, values, value, onValue }: ChoiceProps<T>) {
  return (
    <span class="group" role="group" aria-label={label}>
      {values.map(([one, text]) => <button key={one} aria-pressed={value === one} onClick={() => onValue(one)}>{text}</button>)}
    </span>
  );
}

/** Where a query is shown as a graph or as a table. */
export function queryHref(expr: string, tab: "graph" | "table" = "graph", rest: Partial<Panel> = {}): string {
  return `graph${searchOf([{ ...fresh(), ...rest, expr, tab }])}`;
}

export function QueryLink({ expr, children }: { expr: string; children?: preact.ComponentChildren }) {
  return <a href={queryHref(expr)}>{children ?? <code>{expr}</code>}</a>;
}

export function JsonLink({ href }: { href: string }) {
  return <a href={href} target="_blank" rel="noreferrer">JSON</a>;
}
