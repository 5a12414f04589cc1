// Lists that come in pages: `next` of one page asks for the one after it. A server without pages gives all at once.

import { useEffect, useState } from "preact/hooks";
import { type Params, call, isAbort } from "./api.ts";

export interface Paged {
  next?: string | null;
}

/** Pages as they come, until the last. */
export async function* pages<T extends Paged>(ask: (next: string) => Promise<T>): AsyncGenerator<T> {
  let next = "";
  for (;;) {
    const page = await ask(next);
    yield page;
    if (!page.next) return;
    if (page.next === next) throw new Error(`the server gives the same page again, after ${next}`);
    next = page.next;
  }
}

const ITEMS_MAX = 50_000;

export interface All<T> {
  /** Undefined until the last page is there. */
  items?: readonly T[];
  error?: unknown;
}

/** All items of a list. `path` undefined asks nothing. */
export function useAll<P extends Paged, T>(path: string | undefined, params: Params, items: (page: P) => readonly T[]): All<T> {
  const [all, setAll] = useState<All<T>>({});
  useEffect(() => {
    setAll({});
    if (path === undefined) return undefined;
    const control = new AbortController();
    const load = async () => {
      const found: T[] = [];
      for await (const page of pages<P>(async (next) => (await call<P>(path, { ...params, next }, control.signal)).data)) {
        found.push(...items(page));
        if (found.length >= ITEMS_MAX) break;
      }
      if (!control.signal.aborted) setAll({ items: found });
    };
    load().catch((error: unknown) => isAbort(error) || setAll({ error }));
    return () => control.abort();
  }, [path, JSON.stringify(params)]);
  return all;
}
