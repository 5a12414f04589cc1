// Pages lie one level below the prefix: `…/query`, `…/targets`. Relative links work under every prefix.

import { useEffect, useState } from "preact/hooks";

export interface Place {
  /** The last segment of the path; empty at the root. */
  segment: string;
  search: string;
}

const watchers = new Set<() => void>();

export function place(): Place {
  return { segment: location.pathname.split("/").at(-1) ?? "", search: location.search };
}

export function go(href: string, isReplacing = false): void {
  if (isReplacing) history.replaceState(null, "", href);
  else history.pushState(null, "", href);
  for (const changed of watchers) changed();
}

export function usePlace(): Place {
  const [now, setNow] = useState(place);
  useEffect(() => {
    const changed = () => setNow(place());
    watchers.add(changed);
    addEventListener("popstate", changed);
    return () => {
      watchers.delete(changed);
      removeEventListener("popstate", changed);
    };
  }, []);
  return now;
}

/** Follows links to our own pages without loading them anew; `owns` tells the segments that are ours. */
export function followLinks(owns: (segment: string) => boolean): void {
  document.addEventListener("click", (event) => {
    const link = (event.target as Element | null)?.closest?.("a");
    if (!link || event.defaultPrevented || event.button !== 0) return;
    if (event.metaKey || event.ctrlKey || event.shiftKey || link.target || link.hasAttribute("download")) return;
    const here = new URL(".", document.baseURI);
    const there = new URL(link.href);
    if (there.origin !== here.origin || !there.pathname.startsWith(here.pathname)) return;
    if (!owns(there.pathname.slice(here.pathname.length)) || there.hash !== "") return;
    event.preventDefault();
    go(there.href);
    scrollTo(0, 0);
  });
}

/** One parameter of the address as a state. */
export function useParam(name: string): [string, (value: string) => void] {
  const { search } = usePlace();
  const set = (value: string) => {
    const url = new URL(location.href);
    if (value === "") url.searchParams.delete(name);
    else url.searchParams.set(name, value);
    go(url.href, true);
  };
  return [new URLSearchParams(search).get(name) ?? "", set];
}
