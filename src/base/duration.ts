/** Durations as people type and read them. */
import { CairnError } from "./errors.ts";

const UNIT_MS: Readonly<Record<string, number>> = {
  ms: 1,
  "": 1000,
  s: 1000,
  sec: 1000,
  m: 60_000,
  min: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

const LONGEST_MS = 366 * 86_400_000;

/** `6` and `6s` are seconds; also `500ms`, `90s`, `1.5min`, `2h`, `1d`, and several with their units, `1h30m`. Milliseconds, more than 0. */
export function parseDuration(text: string): number {
  const parts = partsOf(text.trim());
  if (parts === null) {
    throw new CairnError("usage", `"${text}" is not a duration`, {
      data: { text },
      hint: "Write a number and a unit: 6 (seconds), 500ms, 90s, 10min, 2h, 1d or 1h30min",
    });
  }
  const durationMs = Math.round(parts.reduce((sum, part) => sum + part.count * part.unitMs, 0));
  if (durationMs < 1 || durationMs > LONGEST_MS) {
    throw new CairnError("usage", `The duration "${text}" is too ${durationMs < 1 ? "short" : "long"}`, {
      data: { text },
      hint: "Choose between 1ms and 366d",
    });
  }
  return durationMs;
}

/** Units from the largest down, each once; a number without a unit stands alone, for it would be minutes to one reader and seconds to another. */
function partsOf(text: string): { count: number; unitMs: number }[] | null {
  const parts: { count: number; unitMs: number }[] = [];
  let rest = text;
  do {
    const match = /^ ?([0-9]{1,12}(?:\.[0-9]{1,6})?) ?([a-z]*)/.exec(rest);
    const unitMs = match === null ? undefined : lookUp(match[2] ?? "");
    if (match === null || unitMs === undefined || unitMs >= (parts.at(-1)?.unitMs ?? Infinity)) return null;
    rest = rest.slice(match[0].length);
    if (match[2] === "" && (parts.length > 0 || rest !== "")) return null;
    parts.push({ count: Number(match[1]), unitMs });
  } while (rest !== "");
  return parts;
}

function lookUp(unit: string): number | undefined {
  return Object.hasOwn(UNIT_MS, unit) ? UNIT_MS[unit] : undefined;
}

/** `0 ms`, `340 ms`, `1.2 s`, `45 s`, `3 min`, `2.5 h`, `4 d`: for people, rounded to what they need. */
export function formatDuration(durationMs: number): string {
  if (durationMs < 999.5) return `${Math.round(durationMs)} ms`;
  if (durationMs < 59_500) return `${rounded(durationMs / 1000)} s`;
  if (durationMs < 59.5 * 60_000) return `${rounded(durationMs / 60_000)} min`;
  if (durationMs < 47.5 * 3_600_000) return `${rounded(durationMs / 3_600_000)} h`;
  return `${Math.round(durationMs / 86_400_000)} d`;
}

function rounded(value: number): string {
  const text = value < 9.95 ? value.toFixed(1) : value.toFixed(0);
  return text.replace(/\.0$/, "");
}
