import { describe, expect, it } from 'vitest';
import { isTrained, methodsTitle, nameAddition, plainTitle, quantizerOf, seriesName } from '#contract/comparison.ts';
import { exportProblems } from '#contract/loadability.ts';
import { runtimesAfter } from '#contract/loads-in.ts';
import { quantizeStageSchema, type Stage } from '#contract/recipe.ts';
import { parseScheme } from '#contract/scheme.ts';
import { type Trains, trainStageSchema } from '#contract/training.ts';
import { chainProblems, chainTitle, methodOfStages, quantizedModel, schemeOfStages } from '#contract/training-chain.ts';
import { objectiveChoiceOf, objectiveChoices, usualTrainStage } from '#contract/training-defaults.ts';

const calibration = { path: '/text.jsonl', samples: 4, sequenceLength: 32, seed: 0 };
const quantize = (method: string, scheme: string): Stage =>
  quantizeStageSchema.parse({ type: 'quantize', method, scheme: parseScheme(scheme), ...(method === 'rtn' ? {} : { calibration }) });
const nf4 = quantizeStageSchema.parse({ type: 'quantize', method: 'nf4', scheme: parseScheme('NF4') });
const train = (objective: 'sft' | 'kd' | 'rl', trains: object): Stage =>
  trainStageSchema.parse({
    type: 'train',
    objective: objective === 'rl' ? { kind: 'rl', promptsPerStep: 2, maxNewTokens: 8 } : { kind: objective },
    trains,
    data: { path: '/data/maths.jsonl' },
    steps: 10,
    batchSize: 2,
    optimizer: { learningRate: 1e-4 },
  });
const qat = { kind: 'quantized' };
const w3 = parseScheme('W3G128');

const workflow = [quantize('gptq', 'W3G128'), train('kd', qat), train('rl', qat)];

describe('a chain of stages', () => {
  it('is named by its stages, with the scheme it ends in', () => {
    expect(methodOfStages(workflow)).toBe('gptq → KD QAT → GRPO QAT');
    expect(schemeOfStages(workflow)).toBe('W3G128');
    expect(chainTitle(workflow)).toBe('GPTQ W3G128 → KD QAT → GRPO QAT');
    const alone = [train('sft', { ...qat, scheme: w3 })];
    expect([methodOfStages(alone), schemeOfStages(alone), chainTitle(alone)]).toEqual(['SFT QAT', 'W3G128', 'SFT QAT W3G128']);
    const after = [train('rl', { kind: 'weights' }), quantize('rtn', 'W4')];
    expect([methodOfStages(after), schemeOfStages(after)]).toEqual(['GRPO → rtn', 'W4']);
    expect(methodOfStages([nf4, train('rl', { kind: 'lora' })])).toBe('nf4 → GRPO QLoRA');
    expect([methodOfStages([]), schemeOfStages([])]).toEqual(['none', 'none']);
  });

  it.each([
    ['gptq → KD QAT → GRPO QAT', 'W3G128', 'GPTQ → KD QAT → GRPO QAT', 'GPTQ W3G128 → KD QAT → GRPO QAT', 'gptq', true],
    ['SFT QAT', 'W3G128', 'SFT QAT', 'SFT QAT W3G128', 'none', true],
    ['GRPO → rtn', 'W4', 'GRPO → RTN', 'GRPO → RTN W4', 'rtn', true],
    ['nf4 → Dr.GRPO QLoRA', 'NF4:double', 'NF4 → Dr.GRPO QLoRA', 'NF4:double → Dr.GRPO QLoRA', 'nf4', true],
    ['SFT', 'none', 'SFT', 'SFT', 'none', true],
    ['quarot + gptq', 'W4', 'QuaRot + GPTQ', 'QuaRot + GPTQ W4', 'gptq', false],
    ['none', 'none', 'Baseline', 'Baseline', 'none', false],
  ])('%s %s reads as people write it', (method, scheme, title, plain, quantizer, trained) => {
    expect(methodsTitle(method)).toBe(title);
    expect(plainTitle({ method, scheme })).toBe(plain);
    expect(quantizerOf(method)).toBe(quantizer);
    expect(isTrained(method)).toBe(trained);
    expect(nameAddition({ name: `${plain}, long`, method, scheme })).toBe('long');
    expect(seriesName({ name: `${plain}, long`, method, scheme })).toBe(`${title}, long`);
  });

  it('that can be made has no problems', () => {
    for (const stages of [
      workflow,
      [train('sft', { kind: 'weights' }), quantize('gptq', 'W4')],
      [train('kd', { ...qat, scheme: w3 }), train('rl', qat)],
      [nf4, train('rl', { kind: 'lora' }), train('rl', { kind: 'lora' })],
      [quantize('flatquant', 'W4A4KV4'), train('kd', { kind: 'flatquant' }), train('rl', qat)],
      [quantize('gptq', 'W3G128'), train('kd', { ...qat, scales: 'frozen' })],
    ])
      expect(chainProblems(stages)).toEqual([]);
    expect(chainProblems([train('kd', qat)], quantizedModel)).toEqual([]);
  });

  it.each<[string, Stage[], number, string, RegExp]>([
    ['weights of a quantized model', [quantize('rtn', 'W4'), train('sft', { kind: 'weights' })], 1, 'trains.kind', /float weights/],
    ['QAT without a scheme', [train('sft', qat)], 0, 'trains.scheme', /needs a scheme/],
    ['frozen scales of a float model', [train('sft', { ...qat, scheme: w3, scales: 'frozen' })], 0, 'trains.scales', /no scales to keep/],
    ['QAT on NF4', [nf4, train('kd', qat)], 1, 'trains.kind', /NF4 has no gradient/],
    [
      'FlatQuant without transforms',
      [quantize('gptq', 'W4'), train('kd', { kind: 'flatquant' })],
      1,
      'trains.kind',
      /no FlatQuant transforms/,
    ],
    [
      'FlatQuant after its weights were trained alone',
      [quantize('flatquant', 'W4A4KV4'), train('kd', qat), train('rl', { kind: 'flatquant' })],
      2,
      'trains.kind',
      /no FlatQuant transforms/,
    ],
    [
      'frozen scales of another scheme',
      [quantize('gptq', 'W4'), train('kd', { ...qat, scheme: w3, scales: 'frozen' })],
      1,
      'trains.scheme',
      /those of W4, not of W3G128/,
    ],
    ['quantizing twice', [quantize('rtn', 'W4'), train('kd', qat), quantize('rtn', 'W3')], 2, 'method', /quantized already/],
    ['weights beside an adapter', [train('sft', { kind: 'lora' }), train('sft', { kind: 'weights' })], 1, 'trains.kind', /LoRA adapter/],
  ])('refuses %s', (_, stages, stage, path, message) => {
    const problems = chainProblems(stages);
    expect(problems).toEqual([{ stage, path, message: expect.stringMatching(message), hint: expect.stringMatching(/.{15}/) }]);
  });

  it('knows where its result can be loaded and exported', () => {
    expect(runtimesAfter([train('sft', { kind: 'weights' })])).toBeNull();
    expect(runtimesAfter([nf4, train('rl', { kind: 'lora' })])).toBeNull();
    const names = runtimesAfter([train('kd', { ...qat, scheme: parseScheme('W4G128:sym') })])!.map(({ name }) => name);
    expect(names).toEqual(expect.arrayContaining(['transformers', 'vLLM']));
    const attention = { ...qat, scheme: parseScheme('W4G128:sym'), modules: ['q_proj', 'k_proj'] };
    expect(exportProblems([train('kd', attention), { type: 'export', format: 'gptq' }])).toEqual([
      expect.stringContaining('every decoder linear'),
    ]);
    expect(exportProblems([train('kd', attention), { type: 'export', format: 'compressed-tensors' }])).toEqual([]);
  });
});

describe('usual settings', () => {
  it('make a valid stage of every objective for everything that can be trained, small or large', () => {
    for (const objective of objectiveChoices)
      for (const trains of ['weights', 'quantized', 'lora', 'flatquant'] satisfies Trains['kind'][])
        for (const parameters of [850_000, 600e6, null])
          for (const method of [null, 'rtn', 'gptq'] as const) {
            const stage = usualTrainStage({ objective, trains, method, parameters, dataPath: '/data.jsonl' });
            expect(trainStageSchema.parse(stage)).toEqual(stage);
            expect(objectiveChoiceOf(stage.objective)).toBe(objective);
          }
  });

  it('are those of the papers for real models', () => {
    const rate = (objective: 'kd' | 'grpo', trains: Trains['kind'], method: 'rtn' | 'gptq' | 'nf4' | null, isTrained = false) =>
      usualTrainStage({ objective, trains, method, isTrained, parameters: 1.7e9, dataPath: '-' }).optimizer.learningRate;
    expect(rate('kd', 'quantized', 'rtn')).toBe(2e-5);
    expect(rate('kd', 'quantized', 'gptq')).toBe(1e-6);
    expect(rate('grpo', 'quantized', 'gptq', true)).toBe(5e-7);
    expect(rate('grpo', 'weights', null)).toBe(1e-6);
    expect(rate('grpo', 'lora', 'nf4')).toBe(1e-4);
    const stage = usualTrainStage({ objective: 'kd', trains: 'quantized', method: 'gptq', parameters: 1.7e9, dataPath: '-' });
    expect(stage).toMatchObject({
      steps: 6000,
      accumulation: 4,
      optimizer: { warmupSteps: 180, beta1: 0.9, beta2: 0.95, schedule: 'cosine' },
    });
    expect(stage.batchSize * stage.accumulation).toBe(32);
  });
});
