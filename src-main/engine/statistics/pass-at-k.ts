/**
 * pass@k: the chance that at least one of k completions of a problem is right, estimated without bias from n ≥ k completions
 * (Chen et al. 2021, "Evaluating large language models trained on code", equation 1), with a Wilson interval over problems.
 */
import type { Interval } from '#contract/comparison.ts';
import { RoundoffError } from '#contract/errors.ts';
import { type ProblemScore, wilsonInterval } from './accuracy.ts';

/** Problems with a full score of the rarer kind are assumed before the data speak, as for accuracies. */
const assumed = 2;

/** Mean over problems with its 95 % interval. Throws `numeric` without problems, or when one has fewer than k completions. */
export function passAtK(problems: readonly ProblemScore[], k: number): Interval {
  const short = problems.find(({ samples }) => samples < k);
  if (problems.length === 0 || k < 1 || short)
    throw new RoundoffError(
      'numeric',
      short
        ? `pass@${k} was asked for of a problem with ${short.samples} completions.`
        : `pass@${k} of ${problems.length} problems is undefined.`,
      `Evaluate with ${Math.max(1, k)} or more seeds.`,
    );
  const values = problems.map(({ samples, correct }) => chance(samples, correct, k));
  const count = values.length;
  const value = values.reduce((sum, each) => sum + each, 0) / count;
  const spread = values.reduce((sum, each) => sum + (each - value) ** 2, 0) / Math.max(1, count - 1);
  // A share that is known per problem better than by one draw says more than one draw; with few problems of the rarer kind, not by much.
  const gain = spread > 0 ? Math.max(1, (value * (1 - value)) / spread) : 1;
  const informative = Math.min(values.filter((each) => each > 0).length, values.filter((each) => each < 1).length);
  const effective = (count * (informative + assumed)) / (informative / gain + assumed);
  return wilsonInterval(value, effective, count - 1);
}

/** 1 − C(n − c, k) / C(n, k), as a product that neither overflows nor cancels. */
function chance(samples: number, correct: number, k: number): number {
  if (samples - correct < k) return 1;
  let none = 1;
  for (let draw = 0; draw < k; draw++) none *= (samples - correct - draw) / (samples - draw);
  return 1 - none;
}
