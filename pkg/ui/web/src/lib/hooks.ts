import { useEffect, useRef, useState } from "preact/hooks";
import { type Answer, type Params, call, isAbort } from "./api.ts";
import type { Remembered } from "./memory.ts";

export interface Loaded<T> {
  answer?: Answer<T>;
  error?: unknown;
  isLoading: boolean;
  reload: () => void;
}

/** An answer of the API: the last one stays while the next is under way. `path` undefined asks nothing. */
export function useApi<T>(path: string | undefined, params: Params = {}, every_ms = 0): Loaded<T> {
  const [state, setState] = useState<Omit<Loaded<T>, "reload">>({ isLoading: path !== undefined });
  const [turn, setTurn] = useState(0);
  const key = JSON.stringify([path, params]);
  useEffect(() => {
    if (path === undefined) return undefined;
    const control = new AbortController();
    setState((old) => ({ ...old, isLoading: true }));
    call<T>(path, params, control.signal).then(
      (answer) => setState({ answer, isLoading: false }),
      (error) => isAbort(error) || setState((old) => ({ ...old, error, isLoading: false })),
    );
    return () => control.abort();
  }, [key, turn]);
  useEffect(() => {
    if (every_ms <= 0) return undefined;
    const timer = setInterval(() => document.hidden || setTurn((n) => n + 1), every_ms);
    return () => clearInterval(timer);
  }, [every_ms]);
  return { ...state, reload: () => setTurn((n) => n + 1) };
}

export function useRemembered<T>(setting: Remembered<T>): [T, (value: T) => void] {
  const [, redraw] = useState(0);
  useEffect(() => setting.watch(() => redraw((n) => n + 1)), [setting]);
  return [setting.get(), setting.set];
}

/** The width of an element as it changes, px. */
export function useWidth<E extends HTMLElement>(): [preact.RefObject<E>, number] {
  const ref = useRef<E>(null);
  const [width, setWidth] = useState(0);
  useEffect(() => {
    const element = ref.current;
    if (!element) return undefined;
    const observer = new ResizeObserver(() => setWidth(element.clientWidth));
    observer.observe(element);
    setWidth(element.clientWidth);
    return () => observer.disconnect();
  }, []);
  return [ref, width];
}

/** `value` as it was when it had not changed for a while. */
export function useSettled<T>(value: T, wait_ms: number): T {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), wait_ms);
    return () => clearTimeout(timer);
  }, [value, wait_ms]);
  return settled;
}
