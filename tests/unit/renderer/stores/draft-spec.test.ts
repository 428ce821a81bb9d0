import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import {
  parseStudySpec,
  type QuantizationMethod,
  quantizationMethods,
  quantizeStageSchema,
  type StudySpec,
  variantTitle,
} from '#contract/recipe.ts';
import { parseScheme } from '#contract/scheme.ts';
import { methodOptions } from '../../../../src-renderer/format/method-info.ts';
import { draftFromSpec, draftProblems, emptyDraft, newCell, specFromDraft } from '../../../../src-renderer/stores/draft-spec.ts';
import { defaultSettings, needsCalibration } from '../../../../src-renderer/stores/method-settings.ts';

const file = new URL('../../../../resources/recipes/first-study.json', import.meta.url);
const preset = parseStudySpec(JSON.parse(readFileSync(file, 'utf8')), 'first-study.json');

const calibration = { path: '/data/text.jsonl', samples: 16, sequenceLength: 64, seed: 3 };

/** One variant per method, with everything a stage of it may hold. */
const everyMethod: StudySpec = parseStudySpec(
  {
    ...preset,
    variants: [
      stageOf('rtn', 'W4G32', {
        overrides: [
          { pattern: 'down_proj', scheme: parseScheme('W8') },
          { pattern: 'layers.0.*', scheme: null },
        ],
      }),
      stageOf('gptq', 'W3G128:sym', { calibration, options: { keepLatents: true, actOrder: true }, spillActivations: true }),
      stageOf('awq', 'W4G128', { calibration, options: { scaling: 'duo', clip: false } }, ['gptq', 'awq', 'gguf-q4_0']),
      stageOf('nf4', 'NF4KV8:double', {}, ['bitsandbytes']),
      stageOf('int8', 'INT8', { options: { outlierThreshold: 5 } }),
      stageOf('quarot', 'W4A4KV4', { calibration, options: { weights: 'rtn', seed: 9 }, activationClip: 0.85, kvClip: 1 }),
      stageOf('flatquant', 'W4A4KV4:asym', { calibration, options: { epochs: 3, parameterisation: 'svd' } }),
    ],
  },
  'every method',
);

function stageOf(method: QuantizationMethod, scheme: string, rest: object, exports: string[] = []) {
  const stage = { type: 'quantize', method, scheme: parseScheme(scheme), ...rest };
  return {
    name: variantTitle(method, parseScheme(scheme)),
    stages: [stage, ...exports.map((format) => ({ type: 'export', format }))],
  } as StudySpec['variants'][number];
}

describe('the draft of a study', () => {
  it('keeps the wanted precision, as a copy of its own', () => {
    const spec = { ...preset, protocol: { ...preset.protocol, precision: { points: 2, lookEvery: 50, leastProblems: 100 } } };
    const draft = draftFromSpec(spec);
    draft.protocol.precision!.points = 3;
    expect(spec.protocol.precision.points).toBe(2);
    expect(specFromDraft(draft).protocol.precision).toEqual({ points: 3, lookEvery: 50, leastProblems: 100 });
  });

  it('gives back every method with its options, clips, overrides and exports', () => {
    const draft = draftFromSpec(everyMethod);
    expect(draft.custom).toEqual([]);
    expect(draft.cells.map((cell) => cell.method)).toEqual([...quantizationMethods]);
    expect(specFromDraft(draft)).toEqual(everyMethod);
    expect(parseStudySpec(specFromDraft(draft), 'draft')).toEqual(everyMethod);
    expect(draftFromSpec(specFromDraft(draft))).toEqual(draft);
  });

  it('keeps the set that a stage names without reading it', () => {
    const variants = [stageOf('quarot', 'W4A4KV4', { calibration, options: { weights: 'rtn' } })];
    const spec = parseStudySpec({ ...preset, variants }, 'QuaRot alone');
    expect(draftFromSpec(spec).custom).toEqual([]);
    expect(specFromDraft(draftFromSpec(spec))).toEqual(spec);
  });

  it('carries the model’s own solutions as calibration', () => {
    const spec = structuredClone(everyMethod);
    const solutions = { problems: null, temperature: 0.7, topP: 0.9, maxNewTokens: 512, promptTemplate: 'Solve: {question}' };
    for (const { stages } of spec.variants)
      for (const stage of stages) if ('calibration' in stage) stage.calibration = { ...calibration, domain: 'own', solutions };
    const draft = draftFromSpec(spec);
    expect(draft.calibration).toEqual({ ...calibration, domain: 'own', solutions });
    expect(specFromDraft(draft)).toEqual(spec);
  });

  it('starts every method from the defaults of its schema', () => {
    const settings = defaultSettings();
    for (const method of quantizationMethods) {
      const scheme = parseScheme(method === 'nf4' ? 'NF4' : method === 'int8' ? 'INT8' : 'W4');
      const stage = quantizeStageSchema.parse({ type: 'quantize', method, scheme, ...(needsCalibration(method) ? { calibration } : {}) });
      expect(settings[method]).toEqual({ options: stage.options });
      expect(quantizeStageSchema.safeParse({ type: 'quantize', method, scheme }).success).toBe(!needsCalibration(method));
    }
  });

  it('offers a field for every option there is', () => {
    const settings = defaultSettings();
    for (const method of quantizationMethods)
      expect(methodOptions[method].map(({ key }) => key as string)).toEqual(expect.arrayContaining(Object.keys(settings[method].options)));
  });

  it('keeps variants of one method apart when one of them has other options', () => {
    const spec = structuredClone(everyMethod);
    const odd = stageOf('quarot', 'W4A8KV8', { calibration });
    spec.variants.push(parseStudySpec({ ...preset, variants: [odd] }, 'odd').variants[0]!);
    const draft = draftFromSpec(spec);
    expect(draft.custom.map((variant) => variant.name)).toEqual(['QuaRot W4A8KV8']);
    expect(specFromDraft(draft)).toEqual(spec);
  });

  it('gives a preset back unchanged', () => {
    const draft = draftFromSpec(preset);
    expect(draft.custom).toEqual([]);
    expect(draft.cells).toHaveLength(preset.variants.length);
    expect(specFromDraft(draft)).toEqual(preset);
    expect(parseStudySpec(specFromDraft(draft), 'draft')).toEqual(preset);
  });

  it('gives back every bundled preset with all its variants', () => {
    const folder = new URL('../../../../resources/recipes/', import.meta.url);
    const files = readdirSync(folder);
    expect(files.length).toBeGreaterThan(1);
    for (const name of files) {
      const spec = parseStudySpec(JSON.parse(readFileSync(new URL(name, folder), 'utf8')), name);
      // Models that a preset leaves to choose are missing until they are chosen.
      const back = parseStudySpec({ ...specFromDraft(draftFromSpec(spec)), models: spec.models }, name);
      const byName = ({ variants, ...rest }: StudySpec) => ({
        ...rest,
        variants: variants.toSorted((a, b) => a.name.localeCompare(b.name)),
      });
      expect(byName(back)).toEqual(byName(spec));
    }
  });

  it('does not share objects with the preset', () => {
    const draft = draftFromSpec(preset);
    draft.protocol.seeds.push(99);
    draft.benchmarks[0]!.name = 'changed';
    expect(preset.protocol.seeds).not.toContain(99);
    expect(preset.benchmarks[0]!.name).not.toBe('changed');
  });

  it('applies shared settings to every GPTQ variant and leaves RTN without data', () => {
    const draft = draftFromSpec(preset);
    draft.settings.gptq.options.actOrder = true;
    draft.calibration = { path: '/data/mine.jsonl', samples: 8, sequenceLength: 64, seed: 7 };
    const stages = specFromDraft(draft).variants.flatMap((variant) => variant.stages);
    const gptq = stages.filter((stage) => stage.type === 'quantize' && stage.method === 'gptq');
    expect(gptq.length).toBeGreaterThan(0);
    for (const stage of gptq)
      expect(stage).toMatchObject({ options: { actOrder: true }, calibration: { path: '/data/mine.jsonl', samples: 8 } });
    expect(JSON.stringify(stages.filter((stage) => stage.type === 'quantize' && stage.method === 'rtn'))).not.toContain('mine.jsonl');
  });

  it('keeps variants with settings of their own as they are', () => {
    const odd: StudySpec = structuredClone(preset);
    const variant = odd.variants.find((item) => item.name.startsWith('GPTQ W2G32'))!;
    const stage = variant.stages[0]!;
    if (stage.type !== 'quantize' || stage.method !== 'gptq') throw new Error('the preset has no GPTQ W2G32');
    stage.options.dampPercent = 0.5;
    const draft = draftFromSpec(odd);
    expect(draft.custom).toEqual([variant]);
    expect(specFromDraft(draft).variants).toContainEqual(variant);
  });

  it('names new cells apart from those there are', () => {
    const draft = draftFromSpec(preset);
    expect(newCell(draft, 'rtn', parseScheme('W5G64:sym')).name).toBe('RTN W5G64:sym');
    expect(newCell(draft, 'gptq', parseScheme('W2G32')).name).toBe('GPTQ W2G32 (2)');
    expect(newCell(draft, 'nf4', parseScheme('NF4:double')).name).toBe('NF4:double');
    expect(newCell(draft, 'quarot', parseScheme('W4A4KV4')).name).toBe('QuaRot W4A4KV4');
    const rules = [{ pattern: 'down_proj', scheme: parseScheme('W4G32') }];
    expect(newCell(draft, 'gptq', parseScheme('W2G32'), rules).name).toBe('GPTQ W2G32, down_proj W4G32');
  });

  it('says what is missing, step by step', () => {
    expect(draftProblems(draftFromSpec(preset))).toEqual({ model: [], methods: [], training: [], data: [], review: [] });
    const empty = { ...emptyDraft(), name: ' ' };
    const problems = draftProblems(empty);
    expect(Object.values(problems).map((list) => list.length)).toEqual([1, 0, 1, 1, 1]);
    empty.cells.push(newCell(empty, 'gptq', parseScheme('W4')));
    empty.protocol = { ...empty.protocol, promptTemplate: 'no place', seeds: [] };
    expect(draftProblems(empty).data).toHaveLength(4);
  });
});
