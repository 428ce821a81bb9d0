import { describe, expect, it } from 'vitest';
import { choiceName, isChoice, makeChoices, mapStudyPaths, openChoices } from '#contract/choices.ts';
import { studySpecSchema } from '#contract/recipe.ts';
import { parseScheme } from '#contract/scheme.ts';

const train = {
  type: 'train',
  objective: { kind: 'kd', teacher: 'choose:Teacher' },
  trains: { kind: 'weights' },
  data: { path: 'choose:Maths' },
  steps: 4,
  batchSize: 1,
  optimizer: { learningRate: 1e-3 },
};
const gptq = {
  type: 'quantize',
  method: 'gptq',
  scheme: parseScheme('W4'),
  calibration: { path: 'choose:Text', samples: 1, sequenceLength: 8, seed: 0 },
};
const spec = studySpecSchema.parse({
  name: 'Open',
  models: ['choose:Qwen3'],
  variants: [{ name: 'a', stages: [gptq, train] }],
  benchmarks: [{ name: 'gsm8k', path: 'choose:GSM8K' }],
  protocol: {
    ...{ temperature: 0, topP: 1, topK: 0, maxNewTokens: 8, seeds: [1], systemPrompt: null },
    ...{ promptTemplate: '{question}', verifier: 'maths-1', problemsPerBenchmark: null },
  },
});

describe('what a study leaves to choose', () => {
  it('is found wherever there is a path, and can be made', () => {
    expect(openChoices(spec)).toEqual(['Qwen3', 'GSM8K', 'Text', 'Teacher', 'Maths']);
    const chosen = makeChoices(
      spec,
      new Map([
        ['Qwen3', '/m'],
        ['GSM8K', '/b'],
        ['Text', '/t'],
        ['Maths', '/d'],
        ['Teacher', '/e'],
      ]),
    );
    expect(openChoices(chosen)).toEqual([]);
    const paths: string[] = [];
    mapStudyPaths(chosen, (path) => {
      paths.push(path);
      return path;
    });
    expect(paths).toEqual(['/m', '/b', '/t', '/e', '/d']);
    expect(openChoices(makeChoices(spec, new Map([['Text', '/t']])))).toEqual(['Qwen3', 'GSM8K', 'Teacher', 'Maths']);
    expect([isChoice('choose:x y'), isChoice('/x'), choiceName('choose:x y')]).toEqual([true, false, 'x y']);
  });
});
