import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parseStudySpec, type StudySpec } from '#contract/recipe.ts';
import { parseScheme } from '#contract/scheme.ts';
import { draftFromSpec, draftProblems, emptyDraft, newCell, specFromDraft } from '../../../../src-renderer/stores/draft-spec.ts';

const file = new URL('../../../../resources/recipes/first-study.json', import.meta.url);
const preset = parseStudySpec(JSON.parse(readFileSync(file, 'utf8')), 'first-study.json');

describe('the draft of a study', () => {
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
      const back = parseStudySpec(specFromDraft(draftFromSpec(spec)), name);
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
    draft.gptq.actOrder = true;
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
  });

  it('says what is missing, step by step', () => {
    expect(draftProblems(draftFromSpec(preset))).toEqual({ model: [], methods: [], data: [], review: [] });
    const empty = { ...emptyDraft(), name: ' ' };
    const problems = draftProblems(empty);
    expect(Object.values(problems).map((list) => list.length)).toEqual([1, 1, 1, 1]);
    empty.cells.push(newCell(empty, 'gptq', parseScheme('W4')));
    empty.protocol = { ...empty.protocol, promptTemplate: 'no place', seeds: [] };
    expect(draftProblems(empty).data).toHaveLength(4);
  });
});
