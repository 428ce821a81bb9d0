/** Perplexity of texts from recorded windows, and how it changed against the baseline over the same windows. */
import type { PairedVerdict, PerplexityResult } from '#contract/comparison.ts';
import type { TextWindow } from '#contract/worker.ts';
import { meanInterval } from '../engine/statistics/index.ts';

/** Run → text → its windows, in order. */
export type RunWindows = ReadonlyMap<string, ReadonlyMap<string, readonly TextWindow[]>>;

/** Null without windows. `complete` says whether the whole text is scored; only then is it compared. */
export function perplexityResult(
  text: string,
  windows: readonly TextWindow[],
  baseline: readonly TextWindow[] | undefined,
  complete: boolean,
): PerplexityResult | null {
  const tokens = windows.reduce((sum, window) => sum + window.tokens, 0);
  if (tokens === 0) return null;
  const nats = windows.reduce((sum, window) => sum + window.nats, 0);
  const change = complete && baseline ? changeAgainst(windows, baseline) : null;
  return { text, perplexity: Math.exp(nats / tokens), nats: nats / tokens, tokens, windows: windows.length, complete, change };
}

/**
 * The ratio of two perplexities is exp of the mean difference in nats per token. Windows are the independent units; as all but the last are
 * of one length, their differences are weighted by their tokens only in the estimate itself.
 */
function changeAgainst(windows: readonly TextWindow[], baseline: readonly TextWindow[]): PerplexityResult['change'] {
  const before = new Map(baseline.map((window) => [window.window, window]));
  const pairs = windows.flatMap((window) => {
    const reference = before.get(window.window);
    return reference && reference.tokens === window.tokens ? [{ tokens: window.tokens, nats: window.nats - reference.nats }] : [];
  });
  if (pairs.length < windows.length || pairs.length !== baseline.length) return null;
  const tokens = pairs.reduce((sum, pair) => sum + pair.tokens, 0);
  const difference = pairs.reduce((sum, pair) => sum + pair.nats, 0) / tokens;
  const spread = meanInterval(pairs.map((pair) => pair.nats / pair.tokens));
  if (!spread) return { ratio: Math.exp(difference), low: null, high: null, verdict: null };
  const half = (spread.high - spread.low) / 2;
  const verdict: PairedVerdict = difference - half > 0 ? 'worse' : difference + half < 0 ? 'better' : 'not distinguishable';
  return { ratio: Math.exp(difference), low: Math.exp(difference - half), high: Math.exp(difference + half), verdict };
}
