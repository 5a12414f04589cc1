// Settings that outlive a page, where the browser lets us keep them.

export interface Remembered<T> {
  get(): T;
  set(value: T): void;
  /** Calls at each change; gives what ends that. */
  watch(change: () => void): () => void;
}

export function remembered<T>(name: string, initial: T): Remembered<T> {
  const key = `aion.${name}`;
  const watchers = new Set<() => void>();
  let value = read(key, initial);
  return {
    get: () => value,
    set(next) {
      value = next;
      try {
        localStorage.setItem(key, JSON.stringify(next));
      } catch {
        // A private window: the setting holds for this page.
      }
      for (const change of watchers) change();
    },
    watch(change) {
      watchers.add(change);
      return () => watchers.delete(change);
    },
  };
}

function read<T>(key: string, initial: T): T {
  try {
    const text = localStorage.getItem(key);
    return text === null ? initial : (JSON.parse(text) as T);
  } catch {
    return initial;
  }
}
