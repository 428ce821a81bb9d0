/** Names of methods, verdicts and states as shown. */
import { type PairedVerdict, quantizerOf } from '#contract/comparison.ts';
import type { RunStatus } from '#contract/records.ts';
import type { BackendName, Verdict } from '#contract/worker.ts';

export type Tone = 'neutral' | 'info' | 'good' | 'warn' | 'bad';

export const statusLabels: Record<RunStatus, { label: string; tone: Tone }> = {
  queued: { label: 'Queued', tone: 'neutral' },
  running: { label: 'Running', tone: 'info' },
  stopping: { label: 'Stopping', tone: 'warn' },
  finished: { label: 'Finished', tone: 'good' },
  failed: { label: 'Failed', tone: 'bad' },
  cancelled: { label: 'Cancelled', tone: 'neutral' },
  interrupted: { label: 'Interrupted', tone: 'warn' },
};

export const verdictLabels: Record<Verdict, { label: string; tone: Tone; meaning: string }> = {
  correct: { label: 'Correct', tone: 'good', meaning: 'The extracted answer equals the reference.' },
  incorrect: { label: 'Incorrect', tone: 'bad', meaning: 'An answer was found, but it is another one.' },
  unparsed: { label: 'No answer', tone: 'warn', meaning: 'No answer could be extracted from the completion.' },
  truncated: { label: 'Cut off', tone: 'warn', meaning: 'The token limit was reached before an answer.' },
};

/** What became of a problem that the baseline judges differently. */
export const flipLabels: Record<'lost' | 'gained', { label: string; tone: Tone; meaning: string }> = {
  lost: { label: 'Lost', tone: 'bad', meaning: 'The baseline answers this problem correctly with the same seed.' },
  gained: { label: 'Gained', tone: 'good', meaning: 'The baseline does not answer this problem correctly with the same seed.' },
};

export function flipOf({ verdict, baselineVerdict }: { verdict: Verdict; baselineVerdict: Verdict | null }): 'lost' | 'gained' | null {
  if (baselineVerdict === null || (verdict === 'correct') === (baselineVerdict === 'correct')) return null;
  return verdict === 'correct' ? 'gained' : 'lost';
}

export const pairedLabels: Record<PairedVerdict, { label: string; tone: Tone; meaning: string }> = {
  better: { label: 'Better', tone: 'good', meaning: 'The paired interval lies above zero.' },
  worse: { label: 'Worse', tone: 'bad', meaning: 'The paired interval lies below zero.' },
  'not distinguishable': { label: 'Not distinguishable', tone: 'neutral', meaning: 'The paired 95 % interval contains zero.' },
};

export const backendLabels: Record<BackendName, string> = { wasm: 'CPU (wasm)', webgpu: 'WebGPU', tensorflow: 'TensorFlow' };

/** The style sheet's colour of the quantization method in a chain; the accent where training alone made the variant. */
export function methodColorVar(method: string): string {
  return `var(--series-${quantizerOf(method)}, var(--accent))`;
}
