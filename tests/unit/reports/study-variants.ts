/** Studies that did not go as planned, or are of several models, made from the fake one. */
import { RoundoffError } from '#contract/errors.ts';
import type { ComparisonInput } from '../../../src-main/reports/index.ts';
import { fakeStudy } from './fake-study.ts';

/** `GPTQ W2G128` failed before its first completion; `GPTQ W2G32` was interrupted halfway. */
export function failedStudy(): ComparisonInput {
  const input = fakeStudy({ problems: 20, pending: ['GPTQ W2G128'] });
  const error = new RoundoffError('disk-full', 'The disk filled up at 100%.', 'Free some space, then resume.');
  const { code, message, hint } = error;
  const runs = input.runs.map((run) => {
    if (run.name === 'GPTQ W2G128') return { ...run, status: 'failed' as const, error: { code, message, hint } };
    return run.name === 'GPTQ W2G32' ? { ...run, status: 'interrupted' as const } : run;
  });
  const interrupted = input.runs.find(({ name }) => name === 'GPTQ W2G32')!.id;
  const samples = [...input.samples].filter(([runId], index) => runId !== interrupted || index % 2 === 0);
  return { ...input, runs, samples };
}

/** The same runs and answers once more, as if of another model. */
export function studyOfTwoModels(): ComparisonInput {
  const input = fakeStudy({ problems: 10 });
  const models = [...input.models, { ...input.models[0]!, id: 2, name: 'Other model' }];
  const runs = [...input.runs, ...input.runs.map((run) => ({ ...run, id: `b-${run.id}`, name: `${run.name} · Other`, modelId: 2 }))];
  const samples = [...input.samples].flatMap((sample) => [sample, [`b-${sample[0]}`, ...sample.slice(1)] as unknown as typeof sample]);
  return { ...input, models, runs, samples };
}
