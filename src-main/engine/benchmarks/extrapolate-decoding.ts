/**
 * How long completions take that all reach their token limit, from the beginning of their generation: slots read their prompts, then decode
 * side by side, and when they end the next prompts take their places.
 */

/** How far generation was at a moment. */
export interface DecodingMark {
  elapsedMs: number;
  /** Of all slots, so far. */
  tokens: number;
}

export interface DecodingWork {
  completions: number;
  slots: number;
  maxNewTokens: number;
}

/** Slots that have this many tokens each have all read their prompts. */
const settledTokens = 2;

/** Null until every slot has decoded for a while. Time in ms; the rate is that of decoding alone. */
export function extrapolateDecoding(
  marks: readonly DecodingMark[],
  { completions, slots, maxNewTokens }: DecodingWork,
): { elapsedMs: number; tokensPerSecond: number } | null {
  const first = marks.find(({ tokens }) => tokens >= settledTokens * slots);
  const last = marks.at(-1);
  if (!first || !last || last.tokens <= first.tokens) return null;
  const msPerToken = (last.elapsedMs - first.elapsedMs) / (last.tokens - first.tokens);
  const prefillMs = Math.max(0, first.elapsedMs - first.tokens * msPerToken);
  const waves = completions / slots;
  return { elapsedMs: waves * (prefillMs + slots * maxNewTokens * msPerToken), tokensPerSecond: 1000 / msPerToken };
}
