/**
 * Cancellation inside long engine work: one check, one error.
 */
import { RoundoffError } from '#contract/errors.ts';

/** Throws `cancelled`, naming the interrupted activity, once the signal is aborted. */
export function throwIfCancelled(signal: AbortSignal | undefined, activity: string): void {
  if (signal?.aborted) throw new RoundoffError('cancelled', `${activity} was cancelled.`, 'Start it again when you are ready.');
}
