// Lists that come in pages: `next` of one page asks for the one after it. A server without pages gives all at once.

import { useEffect, useState } from "preact/hooks";
import { type Answer, type Params, call, isAbort } from "./api.ts";

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

export interface All<P, T> {
  /** Undefined until the last page is there; the last ones while they are loaded again. */
  items?: readonly T[];
  /** The first page, with what goes with the whole list. */
  first?: Answer<P>;
  error?: unknown;
  isLoading: boolean;
  reload: () => void;
}

/** How a list is asked for by pages, where the names differ. */
export interface Names<P> {
  param: string;
  next: (page: P) => string | null | undefined;
}

const USUAL: Names<Paged> = { param: "next", next: (page) => page.next };

/** All items of a list. `path` undefined asks nothing. */
export function useAll<P extends object, T>(path: string | undefined, params: Params, items: (page: P) => readonly T[], every_ms = 0, names: Names<P> = USUAL): All<P, T> {
  const [all, setAll] = useState<Omit<All<P, T>, "reload">>({ isLoading: path !== undefined });
  const [turn, setTurn] = useState(0);
  const key = JSON.stringify([path, params]);
  useEffect(() => setAll({ isLoading: path !== undefined }), [key]);
  useEffect(() => {
    if (path === undefined) return undefined;
    const control = new AbortController();
    setAll((old) => ({ ...old, isLoading: true }));
    const load = async () => {
      let first: Answer<P> | undefined;
      const ask = async (next: string) => {
        const answer = await call<P>(path, { ...params, [names.param]: next }, control.signal);
        first ??= answer;
        return { page: answer.data, next: names.next(answer.data) ?? null };
      };
      const found: T[] = [];
      let error: Error | undefined;
      for await (const { page, next } of pages(ask)) {
        for (const item of items(page)) found.push(item);
        if (next === null || found.length < ITEMS_MAX) continue;
        error = new Error(`there are more than the ${found.length} that are shown`);
        break;
      }
      if (first) setAll({ items: found, first, error, isLoading: false });
    };
    load().catch((error: unknown) => isAbort(error) || setAll((old) => ({ ...old, error, isLoading: false })));
    return () => control.abort();
  }, [key, turn]);
  useEffect(() => {
    if (every_ms <= 0) return undefined;
    const timer = setInterval(() => document.hidden || setTurn((n) => n + 1), every_ms);
    return () => clearInterval(timer);
  }, [every_ms]);
  return { ...all, reload: () => setTurn((n) => n + 1) };
}
