/**
 * Numbers as reports show them: accuracies in percent, differences in points, sizes in decimal units as file managers count.
 */
import { type ComparisonRow, type Interval, methodsTitle, type PairedDifference } from '#contract/comparison.ts';
import { overridesTitle } from '#contract/overrides.ts';

const minus = '\u2212';

/** `0.7134` → `71.3`. */
export function percent(share: number): string {
  return (100 * share).toFixed(1);
}

/** `71.3 [69.0, 73.6]`. */
export function percentInterval(interval: Interval): string {
  return `${percent(interval.value)} [${percent(interval.low)}, ${percent(interval.high)}]`;
}

/** Half the width of an interval in points, its longer side: `2.3`. */
export function margin({ value, low, high }: Interval): string {
  return percent(Math.max(value - low, high - value));
}

/** A difference of shares in points with its sign: `+1.2`, `−0.4`, `0.0`. */
export function points(difference: number): string {
  const text = (100 * Math.abs(difference)).toFixed(1);
  if (text === '0.0') return text;
  return `${difference < 0 ? minus : '+'}${text}`;
}

/** `0.032`, `< 0.001`. */
export function pValue(value: number): string {
  return value < 0.001 ? '< 0.001' : value.toFixed(3);
}

export function pointsInterval(interval: Interval): string {
  return `${points(interval.value)} [${points(interval.low)}, ${points(interval.high)}]`;
}

/** The same difference seen from the other side: a drop as a change against the baseline. */
export function negated(difference: PairedDifference): PairedDifference {
  return { ...difference, value: 0 - difference.value, low: 0 - difference.high, high: 0 - difference.low };
}

/** `512 B`, `0.86 MB`, `1.24 GB`. */
export function bytes(sizeBytes: number): string {
  if (sizeBytes < 1000) return `${sizeBytes} B`;
  const units = ['kB', 'MB', 'GB', 'TB'];
  let value = sizeBytes / 1000;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${value >= 100 ? value.toFixed(0) : value.toPrecision(3)} ${units[unit]}`;
}

/** `42 s`, `3 min 05 s`, `2 h 07 min`. */
export function duration(elapsedMs: number): string {
  const seconds = Math.round(elapsedMs / 1000);
  if (seconds < 60) return seconds < 10 ? `${(elapsedMs / 1000).toFixed(1)} s` : `${seconds} s`;
  const two = (value: number) => String(value).padStart(2, '0');
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${two(seconds % 60)} s`;
  return `${Math.floor(seconds / 3600)} h ${two(Math.floor((seconds % 3600) / 60))} min`;
}

/** `2026-11-22 06:25 UTC`. */
export function date(at: number): string {
  return `${new Date(at).toISOString().slice(0, 16).replace('T', ' ')} UTC`;
}

/** `1,234,567`. */
export function count(value: number): string {
  return value.toLocaleString('en-US');
}

/** `gptq` → `GPTQ`; `none` stays a dash, as the baseline has no method. */
export function methodLabel(method: string): string {
  return method === 'none' ? '–' : methodsTitle(method);
}

/** The scheme, and below it what other modules have: `W2G32; down_proj W4G32`. */
export function schemeLabel({ scheme, overrides }: Pick<ComparisonRow, 'scheme' | 'overrides'>): string {
  if (scheme === 'none') return '–';
  return overrides.length > 0 ? `${scheme}; ${overridesTitle(overrides)}` : scheme;
}

/** `transformers, vLLM`; in brackets where nothing has been exported yet. */
export function loadsInLabel({ loadsIn }: Pick<ComparisonRow, 'loadsIn'>): string {
  if (!loadsIn) return '–';
  const names = loadsIn.runtimes.length > 0 ? loadsIn.runtimes.join(', ') : 'Roundoff only';
  return loadsIn.exported || loadsIn.runtimes.length === 0 ? names : `(${names})`;
}
