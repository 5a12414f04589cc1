import { useState } from "preact/hooks";
import { call, isAbort, textOf } from "../lib/api.ts";
import { type Check, type Question, whyEmpty } from "./why.ts";

const MARKS: Record<Check["verdict"], string> = { fine: "✓", cause: "✗", unknown: "?" };

/** A button that looks for the reason. */
export function WhyEmpty({ question }: { question: Question }) {
  const [checks, setChecks] = useState<Check[] | undefined>();
  const [isDone, setDone] = useState(false);
  const look = async () => {
    setChecks([]);
    setDone(false);
    const add = (check: Check) => setChecks((old) => [...(old ?? []), check]);
    try {
      await whyEmpty(question, async (path, params) => (await call(path, params)).data as never, add);
    } catch (error) {
      if (!isAbort(error)) add({ verdict: "unknown", text: `The checks ended early: ${textOf(error)}` });
    }
    setDone(true);
  };
  return (
    <div class="why">
      <p class="empty">
        No series. {checks === undefined ? <button onClick={() => void look()}>Why empty?</button> : null}
      </p>
      {checks ? (
        <ul aria-live="polite">
          {checks.map((check) => <li key={check.text} class={check.verdict}><b>{MARKS[check.verdict]}</b> {check.text}</li>)}
          {isDone ? (checks.some((c) => c.verdict === "cause") ? null : <li class="unknown"><b>?</b> No check found the cause.</li>) : <li class="dim">looking…</li>}
        </ul>
      ) : null}
    </div>
  );
}
