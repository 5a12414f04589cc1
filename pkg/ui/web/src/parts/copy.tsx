import { useState } from "preact/hooks";

/** Text into the clipboard; without a secure context by the old way. */
export async function copy(text: string): Promise<void> {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const field = document.createElement("textarea");
  field.value = text;
  document.body.append(field);
  field.select();
  document.execCommand("copy");
  field.remove();
}

interface Props {
  text: string;
  /** What is copied. */
  what: string;
  label?: string;
}

/** Two sheets; fonts lack the letter for it. */
function Sheets() {
  return (
    <svg width="11" height="11" viewBox="0 0 12 12" aria-hidden="true" fill="none" stroke="currentColor">
      <rect x="0.5" y="3.5" width="7" height="8" rx="1" /><path d="M3.5 3V1.5a1 1 0 0 1 1-1h6a1 1 0 0 1 1 1v6a1 1 0 0 1-1 1H8" />
    </svg>
  );
}

export function Copy({ text, what, label }: Props) {
  const [isDone, setDone] = useState(false);
  const click = async () => {
    await copy(text);
    setDone(true);
    setTimeout(() => setDone(false), 1200);
  };
  return (
    <button class={label ? "quiet" : "plain copy"} title={`Copy ${what}`} aria-label={label ? undefined : `Copy ${what}`} onClick={() => void click()}>
      {isDone ? "✓ copied" : (label ?? <Sheets />)}
    </button>
  );
}
