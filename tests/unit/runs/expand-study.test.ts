import { describe, expect, it } from 'vitest';
import { studySpecSchema } from '#contract/recipe.ts';
import { expandStudy } from '../../../src-main/runs/expand-study.ts';
import { anchorPaths, resolvePath, resolveRecipe } from '../../../src-main/runs/resources.ts';

const scheme = { bits: 4, symmetric: false, strategy: 'group', groupSize: 32 } as const;
const spec = studySpecSchema.parse({
  name: 'Grid',
  models: ['/models/a/abacus', '/models/b/abacus'],
  variants: [
    { name: 'RTN W4G32', stages: [{ type: 'quantize', method: 'rtn', scheme }] },
    {
      name: 'GPTQ W4G32',
      stages: [
        { type: 'quantize', method: 'gptq', scheme, calibration: { path: 'text.jsonl', samples: 4, sequenceLength: 32, seed: 0 } },
        { type: 'export', format: 'dequantized' },
      ],
    },
  ],
  seeds: [1, 2],
  benchmarks: [{ name: 'sums', path: 'sample:benchmarks/abacus-sums.jsonl' }],
  protocol: {
    temperature: 0.6,
    topP: 0.95,
    topK: 0,
    maxNewTokens: 16,
    seeds: [42],
    systemPrompt: null,
    promptTemplate: '{question}',
    verifier: 'maths-1',
    problemsPerBenchmark: 4,
  },
});

describe('expandStudy', () => {
  const runs = expandStudy(spec);

  it('makes one baseline per model and every variant with every seed', () => {
    expect(runs.map(({ name, isBaseline, seed }) => [name, isBaseline, seed])).toEqual([
      ['baseline · a/abacus', true, 1],
      ['RTN W4G32 · a/abacus · seed 1', false, 1],
      ['RTN W4G32 · a/abacus · seed 2', false, 2],
      ['GPTQ W4G32 · a/abacus · seed 1', false, 1],
      ['GPTQ W4G32 · a/abacus · seed 2', false, 2],
      ['baseline · b/abacus', true, 1],
      ['RTN W4G32 · b/abacus · seed 1', false, 1],
      ['RTN W4G32 · b/abacus · seed 2', false, 2],
      ['GPTQ W4G32 · b/abacus · seed 1', false, 1],
      ['GPTQ W4G32 · b/abacus · seed 2', false, 2],
    ]);
  });

  it('ends every recipe with the same evaluation', () => {
    for (const run of runs)
      expect(run.recipe.stages.at(-1)).toEqual({ type: 'evaluate', benchmarks: spec.benchmarks, protocol: spec.protocol });
    expect(runs[3]!.recipe.stages.map((stage) => stage.type)).toEqual(['quantize', 'export', 'evaluate']);
  });

  it('leaves out of the names what does not vary', () => {
    const small = expandStudy({ ...spec, models: ['sample:abacus'], seeds: [42] });
    expect(small.map((run) => run.name)).toEqual(['baseline', 'RTN W4G32', 'GPTQ W4G32']);
  });
});

describe('paths', () => {
  it('resolves sample paths and nothing outside the sample', () => {
    expect(resolvePath('sample:benchmarks/x.jsonl', '/app/resources')).toBe('/app/resources/sample/benchmarks/x.jsonl');
    expect(() => resolvePath('sample:../secret', '/app/resources')).toThrow(/leads out/);
    expect(() => resolvePath('relative/file', '/app/resources')).toThrow(/absolute/);
  });

  it('anchors relative paths of a study file to its folder and keeps sample paths', () => {
    const anchored = anchorPaths(spec, '/studies');
    const stage = anchored.variants[1]!.stages[0]!;
    expect(stage.type === 'quantize' && stage.method === 'gptq' && stage.calibration.path).toBe('/studies/text.jsonl');
    expect(anchored.benchmarks[0]!.path).toBe('sample:benchmarks/abacus-sums.jsonl');
    expect(anchored.models[0]).toBe('/models/a/abacus');
  });

  it('gives workers absolute paths only', () => {
    const [run] = expandStudy(spec);
    const stage = resolveRecipe(run!.recipe, '/app/resources').stages[0]!;
    expect(stage.type === 'evaluate' && stage.benchmarks[0]!.path).toBe('/app/resources/sample/benchmarks/abacus-sums.jsonl');
  });
});
