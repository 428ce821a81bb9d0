/**
 * How the numbers in a report come about, in the words every report format uses.
 */
import { type ComparisonRow, methodsTitle, quantizerOf } from '#contract/comparison.ts';
import type { CalibrationRecord } from '#contract/worker.ts';
import { count } from './format.ts';

/** What each method was calibrated on and each variant trained on, one sentence per set, then the notes that hold for every study. */
export function methodNotes(rows: readonly ComparisonRow[]): string[] {
  return [...calibrationNotes(rows), ...trainingNotes(rows), ...generalNotes];
}

/** One sentence per kind of training, data and length. */
export function trainingNotes(rows: readonly ComparisonRow[]): string[] {
  const all = rows.flatMap((row) => row.training.map((record) => ({ ...record, row })));
  const groups = [...Map.groupBy(all, ({ title, path, steps }) => JSON.stringify([title, path, steps])).values()];
  return groups.map((own) => {
    const { title, domain, path, steps } = own[0]!;
    const names = own.length === 1 ? own[0]!.row.name : `${own.length} runs`;
    const examples = own.find((record) => record.examples !== null)?.examples;
    const data = examples == null ? `“${domain}”` : `${count(examples)} rows of “${domain}”`;
    return `Training by ${title} (${names}): ${count(steps)} steps on ${data} (${path}).`;
  });
}

export function calibrationNotes(rows: readonly ComparisonRow[]): string[] {
  const calibrated = rows.filter((row): row is ComparisonRow & { calibration: CalibrationRecord } => row.calibration !== null);
  const groups = [...Map.groupBy(calibrated, (row) => JSON.stringify(row.calibration)).values()];
  return groups.map((own) => {
    const { domain, source, samples, sequenceLength, seed, path } = own[0]!.calibration;
    const methods = [...new Set(own.map((row) => methodsTitle(quantizerOf(row.method))))].join(', ');
    const names = groups.length > 1 ? ` (${own.length === 1 ? own[0]!.name : `${own.length} runs`})` : '';
    const text = source === 'solutions' ? `the model’s own solutions to the problems of “${domain}”` : `text of the domain “${domain}”`;
    return `Calibration of ${methods}${names}: ${count(samples)} samples of ${count(sequenceLength)} tokens from ${text}, seed ${seed} (${path}).`;
  });
}

const generalNotes: readonly string[] = [
  'Accuracy is the share of completions judged correct, one completion per problem and evaluation seed.',
  'pass@k is the chance that at least one of k completions of a problem is right, estimated without bias from its completions; its interval is a Wilson score interval over problems.',
  'Intervals are 95 % intervals. Completions of one problem under several seeds are alike, so problems are the independent units: the cluster-robust variance over problems gives an effective number of samples (at least the number of problems, at most the number of completions; nearer to the former while few problems show the rarer outcome), and a Wilson score interval with Student’s t is computed from it. It stays within 0 and 100 % and keeps a width when every answer is right or wrong.',
  'The average is the plain mean over benchmarks; its interval combines the benchmarks’ intervals as independent errors (square and add).',
  'Change and drop are paired: the same problems and the same seeds as the baseline. Their interval is Student’s t on the per-problem differences, with two pseudo-problems added so that runs that never disagree do not appear certain.',
  'A run is better or worse when its paired interval excludes zero, otherwise not distinguishable. That is no proof of equality: the interval says how large a difference may have been missed.',
  'p-values are McNemar’s test made exact for several seeds: the signs of whole problems’ differences are flipped in all ways (with one seed, the exact binomial test); for an average over benchmarks with more than 16 problems that differ, the normal approximation. As a check, the paired bootstrap (BCa) draws whole problems with replacement.',
  'Intervals and verdicts stand by themselves. Of many runs that are all as good as the baseline, one in twenty would look different by chance; “p (Holm)” corrects for all runs compared with the same baseline and is what to go by when the best or worst of them is picked.',
  'Recovery is the average divided by the baseline’s average. Bits per weight count codes, scales and zero points of the quantized layers; size counts the checkpoint’s weight files.',
  'Loads in: runtimes that compute the quantized checkpoint as it was measured, as stated by the export that wrote it; in brackets, what the variant’s scheme could be exported to. “Roundoff only” means that transforms, activations or codes have no counterpart in other formats.',
];
