// Colours of series: apart from each other, and at least 3:1 against the page in both themes.

const LIGHT = ["#2563b8", "#b4511b", "#2a7d3f", "#a32f7e", "#6d52c4", "#8a6a00", "#0b7c86", "#c0302f", "#55702b", "#7a5a44", "#4b5f8f", "#8e3fae"];
const DARK = ["#6ea8f5", "#f09a5f", "#6cc985", "#e88bc4", "#a997f2", "#d8b63f", "#4fc3cf", "#f4807c", "#a6c76b", "#c9a58a", "#9fb4e3", "#cf8fe6"];

export function palette(isDark: boolean): readonly string[] {
  return isDark ? DARK : LIGHT;
}

export function seriesColor(index: number, isDark: boolean): string {
  const colors = palette(isDark);
  return colors[index % colors.length] as string;
}

/** `share` of 0 to 1 as one hue, from the page's lightness to the farthest from it. */
export function heat(share: number, isDark: boolean): string {
  const at = Math.sqrt(Math.min(Math.max(share, 0), 1));
  return `hsl(${215 + at * 30} ${60 + at * 20}% ${isDark ? 16 + at * 66 : 93 - at * 66}%)`;
}
