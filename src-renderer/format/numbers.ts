/** Numbers as people read them. Pure; one spelling for tables, charts and labels. */

const minus = '\u2212';
const thin = '\u202f';

/** 1,234,567 */
export function formatCount(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}

/** Parameters and tokens: 861 K, 1.06 M, 1.5 B. */
export function formatShortCount(value: number): string {
  const units: [number, string][] = [
    [1e12, 'T'],
    [1e9, 'B'],
    [1e6, 'M'],
    [1e3, 'K'],
  ];
  const unit = units.find(([size]) => value >= size);
  return unit ? `${significant(value / unit[0])}${thin}${unit[1]}` : formatCount(value);
}

/** Decimal units, three digits: 812 kB, 1.06 MB, 24.0 GB. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  const power = bytes < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(bytes) / 3));
  const value = bytes / 1000 ** power;
  return `${power === 0 ? Math.round(value) : significant(value)}${thin}${units[power]}`;
}

/** A share in [0, 1] as 82.1 %. */
export function formatPercent(share: number, digits = 1): string {
  return `${(100 * share).toFixed(digits)}${thin}%`;
}

/** A difference of shares as signed points: +1.2, −3.4. */
export function formatPoints(difference: number, digits = 1): string {
  const points = Number((100 * difference).toFixed(digits));
  if (points === 0) return (0).toFixed(digits);
  return `${points > 0 ? '+' : minus}${Math.abs(points).toFixed(digits)}`;
}

/** Half the width of an interval in points: ±1.9. The larger side where it is not symmetric. */
export function formatMargin(interval: { value: number; low: number; high: number }, digits = 1): string {
  const half = Math.max(interval.value - interval.low, interval.high - interval.value);
  return `\u00b1${(100 * half).toFixed(digits)}`;
}

/** [78.2, 85.6] in percent. */
export function formatRange(interval: { low: number; high: number }, digits = 1): string {
  const bound = (share: number) => (100 * share).toFixed(digits).replace('-', minus);
  return `[${bound(interval.low)}, ${bound(interval.high)}]`;
}

/** 0.8 s, 42 s, 3 min 20 s, 1 h 05 min, 2 d 3 h. */
export function formatDuration(elapsedMs: number): string {
  const seconds = elapsedMs / 1000;
  if (seconds < 10) return `${seconds.toFixed(1)}${thin}s`;
  if (seconds < 60) return `${Math.round(seconds)}${thin}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes}${thin}min ${pad(Math.floor(seconds % 60))}${thin}s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours}${thin}h ${pad(minutes % 60)}${thin}min`;
  return `${Math.floor(hours / 24)}${thin}d ${hours % 24}${thin}h`;
}

/** 12.3 samples/s; below one per second the time of one: 4.2 s/layer. */
export function formatRate(ratePerSecond: number, unit: string): string {
  if (ratePerSecond <= 0) return '';
  if (ratePerSecond >= 1) return `${significant(ratePerSecond)} ${unit}/s`;
  return `${significant(1 / ratePerSecond)}${thin}s/${unit.replace(/s$/, '')}`;
}

export function formatBits(bitsPerWeight: number): string {
  return bitsPerWeight >= 16 ? String(Math.round(bitsPerWeight)) : bitsPerWeight.toFixed(2);
}

/** Errors and losses over many magnitudes: 0.0123, 3.4e−6. */
export function formatScientific(value: number): string {
  if (value === 0) return '0';
  const size = Math.abs(value);
  if (size >= 0.001 && size < 10000) return significant(value);
  return value.toExponential(2).replace('-', minus);
}

/** Three significant digits without exponent. */
function significant(value: number): string {
  const size = Math.abs(value);
  const digits = size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 4;
  return value.toFixed(digits);
}

function pad(value: number): string {
  return String(value).padStart(2, '0');
}
