// Pages that are loaded when they are first opened.

import type { ComponentType } from "preact";
import { useEffect, useState } from "preact/hooks";
import { Failure } from "./message.tsx";

export function lazy<P extends object>(load: () => Promise<{ default: ComponentType<P> }>): ComponentType<P> {
  let known: ComponentType<P> | undefined;
  return function Lazy(props: P) {
    const [Page, setPage] = useState<ComponentType<P> | undefined>(() => known);
    const [error, setError] = useState<unknown>();
    useEffect(() => {
      load().then((loaded) => {
        known = loaded.default;
        setPage(() => known);
      }, setError);
    }, []);
    if (error !== undefined) return <Failure error={error} />;
    return Page ? <Page {...props} /> : <p class="empty">loading…</p>;
  };
}
