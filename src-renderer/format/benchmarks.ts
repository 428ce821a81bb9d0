/** Short names for benchmarks in columns and axes: drops the prefix that all share up to a separator. Pure. */

/** `abacus-easy`, `abacus-hard` → `easy`, `hard`. Keyed by the full name. */
export function shortBenchmarkNames(names: readonly string[]): Map<string, string> {
  const prefix = names.length > 1 ? sharedPrefix(names) : '';
  return new Map(names.map((name) => [name, name.slice(prefix.length)]));
}

function sharedPrefix(names: readonly string[]): string {
  const first = names[0] ?? '';
  let length = first.length;
  for (const name of names) while (!name.startsWith(first.slice(0, length))) length -= 1;
  const cut = Math.max(first.lastIndexOf('-', length - 1), first.lastIndexOf('/', length - 1)) + 1;
  return names.some((name) => name.length === cut) ? '' : first.slice(0, cut);
}
