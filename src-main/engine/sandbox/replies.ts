/** Reads what a sandboxed process wrote. Its program may have taken it over, so nothing is believed about the shape. */
import type { ChildReply } from './messages.ts';

const outcomes = ['returned', 'raised', 'flooded', 'fatal'];

/** Null for anything that is not exactly a reply. */
export function parseReply(line: string): ChildReply | null {
  let value: Record<string, unknown>;
  try {
    value = JSON.parse(line) as Record<string, unknown>;
  } catch {
    return null;
  }
  const { type, outcome, output, error, open } = value ?? {};
  if (type === 'ready') return { type };
  if (type === 'loaded' && isTextOrNull(error)) return { type, error };
  if (type === 'probed' && Array.isArray(open) && open.every((name) => typeof name === 'string')) return { type, open };
  const ran = type === 'ran' && outcomes.includes(outcome as string) && typeof output === 'string';
  if (!ran || !isTextOrNull(value.value) || !isTextOrNull(error)) return null;
  return { type: 'ran', outcome: outcome as 'returned', output, value: value.value, error };
}

function isTextOrNull(value: unknown): value is string | null {
  return value === null || typeof value === 'string';
}
