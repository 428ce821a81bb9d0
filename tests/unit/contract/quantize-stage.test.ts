import { describe, expect, it } from 'vitest';
import {
  calibrationOf,
  clipsOf,
  methodTitle,
  parseStudySpec,
  type QuantizationMethod,
  type QuantizeStage,
  quantizationMethods,
  quantizeStageSchema,
  stageTitle,
  variantTitle,
} from '#contract/recipe.ts';
import { parseScheme } from '#contract/scheme.ts';

const calibration = { path: 'text.jsonl', samples: 4, sequenceLength: 32, seed: 0 };
const ownScheme = (method: QuantizationMethod) =>
  method === 'nf4' ? 'NF4' : method === 'int8' ? 'INT8' : method === 'quarot' || method === 'flatquant' ? 'W4A4KV4' : 'W3G128';
const needsText = (method: QuantizationMethod) => !['rtn', 'nf4', 'int8'].includes(method);

/** The least a stage of the method can be written as. */
function smallest(method: QuantizationMethod, more: object = {}): object {
  const scheme = parseScheme(ownScheme(method));
  return { type: 'quantize', method, scheme, ...(needsText(method) ? { calibration } : {}), ...more };
}

const defaults: Record<QuantizationMethod, object> = {
  rtn: { mseSearch: false },
  gptq: { blockSize: 128, dampPercent: 0.01, actOrder: false, staticGroups: false, trueSequential: true, mseSearch: true },
  awq: { scaling: 'activation', clip: true },
  nf4: {},
  int8: { outlierThreshold: 6 },
  quarot: { weights: 'gptq', mseSearch: true, dampPercent: 0.01, blockSize: 128, seed: 0 },
  flatquant: {
    epochs: 15,
    batchSize: 4,
    learningRate: 0.005,
    clipRateFactor: 10,
    alpha: 0.3,
    parameterisation: 'direct',
    weights: 'rtn',
    seed: 0,
  },
};

describe.each(quantizationMethods)('a quantize stage of %s', (method) => {
  it('needs no options: those of the publications are filled in, and reading it again changes nothing', () => {
    const stage = quantizeStageSchema.parse(smallest(method));
    expect(stage.options).toEqual(defaults[method]);
    expect(quantizeStageSchema.parse(stage)).toEqual(stage);
    expect(quantizeStageSchema.parse(JSON.parse(JSON.stringify(stage)))).toEqual(stage);
  });

  it('takes part of the options and refuses those it does not know', () => {
    for (const [name, value] of Object.entries(defaults[method])) {
      const stage = quantizeStageSchema.parse(smallest(method, { options: { [name]: value } }));
      expect(stage.options).toEqual(defaults[method]);
    }
    expect(quantizeStageSchema.safeParse(smallest(method, { options: { unheardOf: 1 } })).success).toBe(false);
    expect(quantizeStageSchema.safeParse(smallest(method, { unheardOf: 1 })).success).toBe(false);
  });

  it('has calibration text exactly where the method reads any', () => {
    const { calibration: _, ...rest } = smallest(method) as { calibration?: object };
    const without = quantizeStageSchema.safeParse(rest);
    const given = quantizeStageSchema.safeParse(smallest(method, { calibration }));
    expect(without.success).toBe(!needsText(method));
    expect(given.success).toBe(needsText(method));
    expect(calibrationOf(quantizeStageSchema.parse(smallest(method)))).toEqual(needsText(method) ? calibration : null);
  });

  it('may say something else of single modules', () => {
    const overrides = [{ pattern: '*.down_proj', scheme: null }];
    const stage = quantizeStageSchema.parse(smallest(method, { overrides, spillActivations: true }));
    expect(stage.overrides).toEqual(overrides);
    expect(quantizeStageSchema.safeParse(smallest(method, { overrides: [{ pattern: '', scheme: null }] })).success).toBe(false);
  });

  it('clips tokens by the ratios of the publications unless it gives its own', () => {
    const usual = method === 'quarot' ? { activationClip: 0.9, kvClip: 0.95 } : { activationClip: 1, kvClip: 1 };
    const clips = (more: object) => clipsOf(quantizeStageSchema.parse(smallest(method, more)));
    expect(clips({})).toEqual(usual);
    expect(clips({ kvClip: 0.5 })).toEqual({ ...usual, kvClip: 0.5 });
    for (const wrong of [0, -1, 1.01]) {
      expect(quantizeStageSchema.safeParse(smallest(method, { activationClip: wrong })).success).toBe(false);
    }
  });
});

describe('QuaRot', () => {
  it('reads no text where weights are rounded to nearest, whether or not one is given', () => {
    const options = { weights: 'rtn' };
    expect(calibrationOf(quantizeStageSchema.parse(smallest('quarot', { options })))).toBeNull();
    expect(calibrationOf(quantizeStageSchema.parse(smallest('quarot', { options, calibration: undefined })))).toBeNull();
    const without = quantizeStageSchema.safeParse(smallest('quarot', { calibration: undefined }));
    expect(without.error!.issues).toMatchObject([
      { path: ['calibration'], message: 'QuaRot needs calibration text to round weights by GPTQ' },
    ]);
  });
});

describe('options out of range', () => {
  it.each<[QuantizationMethod, object]>([
    ['gptq', { blockSize: 0 }],
    ['gptq', { dampPercent: 0 }],
    ['awq', { scaling: 'weights' }],
    ['int8', { outlierThreshold: 0 }],
    ['quarot', { weights: 'awq' }],
    ['quarot', { seed: -1 }],
    ['quarot', { seed: 0.5 }],
    ['flatquant', { alpha: 1.5 }],
    ['flatquant', { epochs: 0 }],
    ['flatquant', { parameterisation: 'lu' }],
  ])('of %s are refused: %j', (method, options) => {
    const parsed = quantizeStageSchema.safeParse(smallest(method, { options }));
    expect(parsed.error!.issues[0]!.path).toEqual(['options', Object.keys(options)[0]]);
  });
});

describe('a study with stages', () => {
  const protocol = {
    ...{ temperature: 0, topP: 1, topK: 0, maxNewTokens: 8, seeds: [42], systemPrompt: null },
    ...{ promptTemplate: '{question}', verifier: 'maths-1', problemsPerBenchmark: null },
  };
  const study = (stages: object[]) => ({
    name: 'Study',
    models: ['sample:abacus'],
    variants: [{ name: 'variant', stages }],
    benchmarks: [{ name: 'sums', path: 'sums.jsonl' }],
    protocol,
  });

  it('holds every method', () => {
    const spec = parseStudySpec(study(quantizationMethods.map((method) => smallest(method))), 'The study');
    expect(spec.variants[0]!.stages.map((stage) => (stage as QuantizeStage).method)).toEqual(quantizationMethods);
  });

  it('is refused with the place of every problem', () => {
    const wrong = [smallest('quarot', { kvClip: 2 }), { ...smallest('awq'), calibration: undefined }, smallest('rtn', { method: 'magic' })];
    const parse = () => parseStudySpec(study(wrong), 'The study');
    expect(parse).toThrow(expect.objectContaining({ code: 'recipe-invalid' }));
    try {
      parse();
    } catch (error) {
      const { problems } = error as { problems: string[] };
      for (const stage of [0, 1, 2]) expect(problems.some((problem) => problem.startsWith(`variants.0.stages.${stage}`))).toBe(true);
    }
  });
});

describe('titles', () => {
  it('name method and scheme once', () => {
    const titles = quantizationMethods.map((method) => stageTitle(quantizeStageSchema.parse(smallest(method))));
    expect(titles).toEqual(['RTN W3G128', 'GPTQ W3G128', 'AWQ W3G128', 'NF4', 'INT8', 'QuaRot W4A4KV4', 'FlatQuant W4A4KV4']);
    expect(variantTitle('nf4', parseScheme('NF4:double'))).toBe('NF4:double');
    expect(methodTitle('spinquant')).toBe('SPINQUANT');
  });
});
