// Numbers for people.

const SI: [number, string][] = [[1e24, "Y"], [1e21, "Z"], [1e18, "E"], [1e15, "P"], [1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]];
const BINARY = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/** `1.234k`: four digits at most. */
export function short(value: number): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "NaN" : value > 0 ? "+Inf" : "-Inf";
  const size = Math.abs(value);
  for (const [factor, unit] of SI) if (size >= factor * 0.99995) return trim((value / factor).toPrecision(4)) + unit;
  if (size === 0) return "0";
  return size < 1e-4 ? trimExponent(value.toExponential(3)) : trim(value.toPrecision(4));
}

export function bytes(value: number): string {
  let [left, at] = [value, 0];
  while (Math.abs(left) >= 1000 && at < BINARY.length - 1) [left, at] = [left / 1024, at + 1];
  return `${at === 0 || Math.abs(left) >= 1000 ? left.toFixed(0) : trim(left.toPrecision(3))} ${BINARY[at]}`;
}

export function count(value: number): string {
  return value.toLocaleString("en-US", { maximumFractionDigits: 0 });
}

export function percent(share: number): string {
  return `${trim((share * 100).toFixed(share < 0.1 ? 1 : 0))}%`;
}

/** `1 series`, `2 rules`. */
export function plural(n: number, one: string, many = `${one}s`): string {
  return `${count(n)} ${n === 1 ? one : many}`;
}

function trim(text: string): string {
  return text.includes(".") && !text.includes("e") ? text.replace(/\.?0+$/, "") : text;
}

function trimExponent(text: string): string {
  const [digits, exponent] = text.split("e");
  return `${trim(digits ?? "")}e${exponent}`;
}
