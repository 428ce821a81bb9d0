/** The memory a plan states follows the methods it would run, on the bundled model. */
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { type QuantizationMethod, type StudySpec, studySpecSchema } from '#contract/recipe.ts';
import { parseScheme } from '#contract/scheme.ts';
import { readModelConfig } from '../../../src-main/engine/model/config.ts';
import { estimateQuantizationMemory } from '../../../src-main/engine/quantizers/memory-estimate.ts';
import { memoryBytes } from '../../../src-main/runs/plan-study.ts';
import { inspectStudyInputs } from '../../../src-main/runs/study-inputs.ts';
import { exampleSpec } from '../../support/recorded-project.ts';

const resources = path.resolve(import.meta.dirname, '../../../resources');
const calibration = { path: 'sample:calibration/abacus.jsonl', samples: 128, sequenceLength: 512, seed: 0 };

function studyOf(...methods: QuantizationMethod[]): StudySpec {
  const variants = methods.map((method) => ({
    name: method,
    stages: [{ type: 'quantize', method, scheme: parseScheme('W4'), ...(method === 'rtn' ? {} : { calibration }) }],
  }));
  return studySpecSchema.parse({ ...exampleSpec, models: ['sample:abacus'], variants });
}

describe('the memory of a plan', () => {
  it('is the most that any of its stages takes', async () => {
    const spec = studyOf('rtn', 'gptq', 'flatquant');
    const inputs = await inspectStudyInputs(spec, resources);
    const config = await readModelConfig(path.join(resources, 'sample/abacus'));
    const needs = spec.variants.map(({ stages }) => (stages[0]!.type === 'quantize' ? estimateQuantizationMemory(config, stages[0]!) : 0));
    expect(memoryBytes(spec, inputs)).toBe(Math.max(...needs));
    expect(memoryBytes(studyOf('rtn'), inputs)).toBe(needs[0]);
    expect(needs[0]!).toBeLessThan(needs[1]!);
  });

  it('is that of evaluating where nothing is quantized', async () => {
    const spec = studyOf();
    const inputs = await inspectStudyInputs(spec, resources);
    const [model] = [...inputs.models.values()];
    expect(memoryBytes(spec, inputs)).toBe(model!.memory.find(({ task }) => task === 'evaluate')!.bytes);
  });
});
