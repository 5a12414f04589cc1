// The field for a query: plain text at once, the editor as soon as it is there.

import { useEffect, useRef, useState } from "preact/hooks";
import { TENANT } from "../lib/api.ts";
import type { Editor as Opened } from "./codemirror.ts";

interface Props {
  /** The query as it was last run; what is typed since is told by `onChange` and not given back. */
  value: string;
  onChange: (text: string) => void;
  onRun: () => void;
}

export function Editor({ value, onChange, onRun }: Props) {
  const host = useRef<HTMLDivElement>(null);
  const opened = useRef<Opened | undefined>(undefined);
  const [isOpen, setOpen] = useState(false);
  const [text, setText] = useState(value);
  const now = useRef({ text, onChange, onRun });
  now.current = { text, onChange, onRun };

  useEffect(() => {
    let isGone = false;
    void import("./codemirror.ts").then(
      ({ open }) => {
        if (isGone || !host.current) return;
        const hadFocus = host.current.parentElement?.contains(document.activeElement) ?? false;
        opened.current = open({
          host: host.current,
          text: now.current.text,
          base: new URL(".", document.baseURI).href.replace(/\/$/, ""),
          headers: (): Record<string, string> => (TENANT.get() === "" ? {} : { "THANOS-TENANT": TENANT.get() }),
          onChange: (text) => now.current.onChange(text),
          onRun: () => now.current.onRun(),
        });
        setOpen(true);
        if (hadFocus) opened.current.focus();
      },
      () => undefined, // The plain field does the work too.
    );
    return () => {
      isGone = true;
      opened.current?.close();
    };
  }, []);

  useEffect(() => {
    setText(value);
    if (opened.current && opened.current.text() !== value) opened.current.replace(value);
  }, [value]);

  return (
    <div class="editor" data-editor>
      <div ref={host} hidden={!isOpen} />
      {isOpen ? null : (
        <textarea
          aria-label="PromQL query"
          rows={Math.min(text.split("\n").length, 8)}
          value={text}
          spellcheck={false}
          placeholder="PromQL"
          onInput={(e) => {
            setText(e.currentTarget.value);
            onChange(e.currentTarget.value);
          }}
          onKeyDown={(e) => {
            if (e.key !== "Enter" || e.shiftKey) return;
            e.preventDefault();
            onRun();
          }}
        />
      )}
    </div>
  );
}

/** Puts the cursor into the first query field. */
export function focusEditor(): boolean {
  const box = document.querySelector("[data-editor]");
  const inner = box?.querySelector("div")?.shadowRoot?.querySelector<HTMLElement>(".cm-content");
  const field = inner ?? box?.querySelector("textarea");
  field?.focus();
  return field !== null && field !== undefined;
}
