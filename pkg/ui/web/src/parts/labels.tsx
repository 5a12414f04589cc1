import { type Labels, sortedPairs } from "../lib/labels.ts";

/** Labels as small tags; those in `hidden` are left out. */
export function LabelTags({ labels, hidden = [] }: { labels: Labels; hidden?: readonly string[] }) {
  const pairs = sortedPairs(labels).filter(([name]) => !hidden.includes(name));
  return <>{pairs.map(([name, value]) => <span class="tag wrap-tag" key={name}>{name}=<b>{value}</b></span>)}</>;
}
