import { readFileSync } from 'node:fs';
import { createPinia, setActivePinia } from 'pinia';
import { beforeEach, describe, expect, it } from 'vitest';
import { isChoice } from '#contract/choices.ts';
import { parseStudySpec, type StudySpec } from '#contract/recipe.ts';
import type { Preset } from '#contract/records.ts';
import { parseScheme } from '#contract/scheme.ts';
import type { TrainStage } from '#contract/training.ts';
import { floatModel } from '#contract/training-chain.ts';
import { objectiveChoices } from '#contract/training-defaults.ts';
import { advancedFields, mainFields, setValueAt, stageFacts, valueAt } from '../../../../src-renderer/format/training-info.ts';
import { useDraftStore } from '../../../../src-renderer/stores/draft.ts';
import {
  chainIssues,
  changedStage,
  type DraftChain,
  nextStage,
  ownTitle,
  stateBefore,
} from '../../../../src-renderer/stores/draft-chains.ts';
import {
  draftFromSpec,
  draftProblems,
  emptyDraft,
  maker,
  newCell,
  openInDraft,
  specFromDraft,
  stageOfCell,
  withChoice,
} from '../../../../src-renderer/stores/draft-spec.ts';

const presetOf = (name: string): StudySpec => {
  const file = new URL(`../../../../resources/recipes/${name}.json`, import.meta.url);
  return parseStudySpec(JSON.parse(readFileSync(file, 'utf8')), name);
};
const calibration = { path: '/text.jsonl', samples: 8, sequenceLength: 64, seed: 1 };
const dataPath = 'sample:training/abacus.jsonl';

function draftWith(...schemes: string[]) {
  const draft = { ...emptyDraft(), models: ['sample:abacus'], calibration, benchmarks: [{ name: 'sums', path: '/sums.jsonl' }] };
  for (const text of schemes) {
    const [method, scheme] = text.split(' ') as ['gptq', string];
    draft.cells.push(newCell(draft, method, parseScheme(scheme)));
  }
  return draft;
}
const empty = (quantization: DraftChain['quantization'] = null): DraftChain => ({
  name: '',
  quantization,
  placement: 'before',
  training: [],
  exports: [],
});

describe('trained variants of a draft', () => {
  it('are given back from every preset that trains, and all of them can be edited', () => {
    for (const name of ['paper-a', 'paper-b', 'abacus-training']) {
      const spec = presetOf(name);
      const draft = draftFromSpec(spec);
      expect(draft.custom.map((variant) => variant.name)).toEqual(name === 'paper-b' ? expect.any(Array) : []);
      const trained = spec.variants.filter(({ stages }) => stages.some(({ type }) => type === 'train'));
      expect([...draft.chains, ...draft.custom].map((chain) => chain.name)).toEqual(
        expect.arrayContaining(trained.map((variant) => variant.name)),
      );
      const back = specFromDraft(draft).variants;
      for (const variant of spec.variants) expect(back).toContainEqual(variant);
    }
  });

  it('leave what a preset does not say to the user, step by step', () => {
    const draft = draftFromSpec(presetOf('paper-b'));
    expect(draft.models).toEqual([]);
    const problems = draftProblems(draft);
    expect(problems.model).toEqual(['Choose at least one model.']);
    expect(problems.training.some((text) => text.endsWith('choose the data (OpenR1-Math).'))).toBe(true);
    expect(problems.data).toEqual([
      'Choose the calibration set: NuminaMath.',
      ...['aime-120', 'math-500', 'gsm8k', 'gpqa-diamond', 'livecodebench'].map((name) => `Choose the file of ${name}, or untick it.`),
    ]);
    const names = openInDraft(draft);
    expect(names.toSorted()).toEqual([
      'NuminaMath',
      'OpenR1-Math',
      'RL-problems',
      'WikiText-2',
      'aime-120',
      'gpqa-diamond',
      'gsm8k',
      'livecodebench',
      'math-500',
    ]);
    const chosen = { ...names.reduce((made, name) => withChoice(made, name, `/${name}.jsonl`), draft), models: ['/models/qwen3'] };
    expect(openInDraft(chosen)).toEqual([]);
    expect(draftProblems(chosen)).toEqual({ model: [], methods: [], training: [], data: [], review: [] });
    const json = JSON.stringify(parseStudySpec(specFromDraft(chosen), 'draft'));
    expect(json).toContain('/WikiText-2.jsonl');
    expect([...json.matchAll(/"path":"([^"]+)"/g)].some(([, path]) => isChoice(path!))).toBe(false);
  });

  it('go before or after quantization, or do without, under their own names', () => {
    const draft = draftWith('gptq W2G32');
    const gptq = { method: 'gptq' as const, scheme: parseScheme('W2G32'), overrides: [] };
    const chain = empty(gptq);
    chain.training.push(nextStage(chain, maker(draft), { parameters: 850_000, dataPath }));
    expect(chain.training[0]).toMatchObject({ objective: { kind: 'kd' }, trains: { kind: 'quantized' }, data: { path: dataPath } });
    expect(chain.training[0]).not.toHaveProperty('trains.scheme');
    chain.training.push(nextStage(chain, maker(draft), { parameters: 850_000, dataPath }));
    expect(ownTitle(chain, maker(draft))).toBe('GPTQ W2G32 → KD QAT → GRPO QAT');
    expect(chainIssues(chain, maker(draft))).toEqual([]);
    expect(stateBefore(chain, 1, maker(draft))).toMatchObject({ weights: 'integer', method: 'gptq' });
    const spec = specFromDraft({ ...draft, chains: [{ ...chain, name: 'Workflow', exports: ['dequantized'] }] });
    expect(spec.variants[1]!.stages.map(({ type }) => type)).toEqual(['quantize', 'train', 'train', 'export']);
    expect(spec.variants[1]!.stages[0]).toEqual(stageOfCell(draft.cells[0]!, draft));
    expect(specFromDraft(draftFromSpec(parseStudySpec(spec, 'spec')))).toEqual(spec);

    const after = { ...empty(gptq), placement: 'after' as const };
    after.training.push(nextStage(after, maker(draft), { parameters: 850_000, dataPath }));
    expect(ownTitle(after, maker(draft))).toBe('SFT → GPTQ W2G32');
    expect(chainIssues(after, maker(draft))).toEqual([]);
    const nf4 = empty({ method: 'nf4', scheme: parseScheme('NF4'), overrides: [] });
    expect(nextStage(nf4, maker(draft), { parameters: 1e9, dataPath }).trains.kind).toBe('lora');
    const flat = empty({ method: 'flatquant', scheme: parseScheme('W4A4KV4'), overrides: [] });
    expect(nextStage(flat, maker(draft), { parameters: null, dataPath }).trains.kind).toBe('flatquant');
  });

  it('say what is wrong at its field', () => {
    const draft = draftWith('gptq W2G32');
    const chain = empty({ method: 'gptq', scheme: parseScheme('W2G32'), overrides: [] });
    const stage = nextStage(chain, maker(draft), { parameters: 850_000, dataPath: '' });
    chain.training.push(stage);
    expect(chainIssues(chain, maker(draft))).toEqual([{ stage: 0, path: 'data.path', message: 'choose a file' }]);
    stage.data.path = '/d.jsonl';
    stage.optimizer.learningRate = Number.NaN;
    stage.optimizer.warmupSteps = 4000;
    stage.steps = 0;
    const at = (path: string) => chainIssues(chain, maker(draft)).find((issue) => issue.path === path)?.message;
    expect(at('optimizer.learningRate')).toBe('must be a number');
    expect(at('steps')).toMatch(/must be (at least 1|above 0)/);
    Object.assign(stage, { steps: 100, trains: { kind: 'weights' } });
    stage.optimizer.learningRate = 1e-3;
    expect(at('optimizer.warmupSteps')).toMatch(/fewer than the 100 steps/);
    stage.optimizer.warmupSteps = 3;
    expect(chainIssues(chain, maker(draft))).toEqual([
      { stage: 0, path: 'trains.kind', message: expect.stringContaining('float weights') },
    ]);
    const problems = draftProblems({
      ...draft,
      chains: [
        { ...chain, name: 'mine' },
        { ...empty(), name: 'mine' },
      ],
    }).training;
    expect(problems).toEqual([
      'Two variants are called “mine”.',
      'mine: add a train stage, or remove the variant.',
      expect.stringMatching(/^mine: float weights/),
    ]);
  });

  it('change what is learnt or trained without losing their data', () => {
    const draft = draftWith();
    const stage = nextStage(empty(), maker(draft), { parameters: 850_000, dataPath });
    Object.assign(stage.data, { limit: 12, domain: 'sums', promptTemplate: 'Q {question}' });
    stage.evaluation = { every: 3, problems: 4 };
    const situation = { state: floatModel, parameters: 850_000, isTrained: false };
    for (const objective of objectiveChoices)
      for (const trains of ['weights', 'quantized', 'lora', 'flatquant'] as const) {
        const changed = changedStage(stage, { objective, trains }, situation);
        expect(changed).toMatchObject({
          data: { path: dataPath, limit: 12, domain: 'sums' },
          trains: { kind: trains },
          evaluation: { every: 3 },
        });
        if (trains !== 'flatquant') expect(chainIssues({ ...empty(), training: [changed] }, maker(draft))).toEqual([]);
      }
  });

  it('have a field for every setting of every kind of stage', () => {
    const own = [
      'objective.kind',
      'trains.kind',
      'trains.scheme',
      'data.path',
      'quantizationStart',
      'evaluation',
      'type',
      'objective.advantage',
      'objective.verifier',
    ];
    const rare = [
      'objective.topP',
      'objective.topK',
      'objective.importance',
      'objective.reward.truncated',
      'objective.reward.byVerdict',
      'optimizer.epsilon',
    ];
    const fields = new Set([...mainFields, ...advancedFields.flatMap((group) => group.fields)].map(({ path }) => path));
    const leaves = (value: object, prefix: string): string[] =>
      Object.entries(value).flatMap(([key, item]) => {
        const path = prefix ? `${prefix}.${key}` : key;
        const isNode = item !== null && typeof item === 'object' && !Array.isArray(item) && !own.includes(path) && !rare.includes(path);
        return isNode ? leaves(item as object, path) : [path];
      });
    const situation = { state: floatModel, parameters: null, isTrained: false };
    const start = nextStage(empty(), maker(draftWith()), { parameters: null, dataPath });
    for (const objective of objectiveChoices)
      for (const trains of ['weights', 'quantized', 'lora', 'flatquant'] as const) {
        const stage = changedStage(start, { objective, trains }, situation);
        for (const path of leaves(stage, '')) if (!own.includes(path) && !rare.includes(path)) expect(fields).toContain(path);
        for (const field of [...mainFields, ...advancedFields.flatMap((group) => group.fields)])
          if (field.isShown?.(stage) ?? true)
            expect(() => setValueAt(structuredClone(stage), field.path, valueAt(stage, field.path))).not.toThrow();
      }
    expect(stageFacts(start)).toBe('6,000 steps · rate 0.00002 · abacus.jsonl');
  });
});

describe('the draft’s store', () => {
  beforeEach(() => setActivePinia(createPinia()));

  it('adds, renames, copies and removes trained variants', () => {
    const store = useDraftStore();
    const spec = presetOf('first-study');
    store.usePreset({ id: 'first', name: spec.name, description: '', spec } satisfies Preset);
    const cells = store.draft.cells.length;
    const stage = nextStage(empty(), maker(store.draft), { parameters: 1e6, dataPath }) as TrainStage;
    const first = store.addChain(null, [stage]);
    expect(first.name).toBe('SFT');
    expect(store.addChain(null, [stage]).name).toBe('SFT (2)');
    store.changeChain(first, (chain) => {
      chain.quantization = { method: 'gptq', scheme: parseScheme('W3G128'), overrides: [] };
      chain.placement = 'after';
    });
    expect(first.name).toBe('SFT → GPTQ W3G128');
    first.name = 'My own';
    store.changeChain(first, (chain) => (chain.placement = 'after'));
    expect(first.name).toBe('My own');
    store.copyChain(first, [
      { method: 'rtn', scheme: parseScheme('W2G32'), overrides: [] },
      { method: 'rtn', scheme: parseScheme('W4'), overrides: [] },
    ]);
    expect(store.draft.chains.map(({ name }) => name)).toEqual(['My own', 'SFT (2)', 'SFT → RTN W2G32', 'SFT → RTN W4']);
    store.draft.chains[2]!.training[0]!.steps = 7;
    expect(first.training[0]!.steps).not.toBe(7);
    store.removeChain(first);
    expect(store.spec.variants).toHaveLength(cells + 3);
    expect(store.problems.training).toEqual(['SFT → RTN W2G32: Warm-up: must be fewer than the 7 steps.']);
  });
});
