// What went wrong, what is incomplete, what is under way.

import type { ComponentChildren } from "preact";
import { ApiError, textOf } from "../lib/api.ts";

export function Failure({ error, retry }: { error: unknown; retry?: () => void }) {
  if (error === undefined || error === null) return null;
  // The same query is wrong again.
  const isFinal = error instanceof ApiError && error.kind === "bad_data";
  const isAbsent = error instanceof ApiError && error.isAbsent;
  return (
    <div class="message bad" role="alert">
      {isAbsent ? "This server does not have this API. " : ""}
      {textOf(error)} {retry && !isFinal ? <button class="quiet" onClick={retry}>Try again</button> : null}
    </div>
  );
}

export function Annotations({ warnings, infos }: { warnings: readonly string[]; infos: readonly string[] }) {
  if (warnings.length + infos.length === 0) return null;
  return (
    <>
      {warnings.map((text) => <div class="message warn" role="status" key={text}><b>Warning:</b> {text}</div>)}
      {infos.map((text) => <div class="message info" role="status" key={text}><b>Info:</b> {text}</div>)}
    </>
  );
}

export function Empty({ children }: { children: ComponentChildren }) {
  return <p class="empty">{children}</p>;
}

export function Busy({ isLoading }: { isLoading: boolean }) {
  return <div class={isLoading ? "busy on" : "busy"} role="progressbar" aria-hidden={!isLoading} aria-label="loading" />;
}
