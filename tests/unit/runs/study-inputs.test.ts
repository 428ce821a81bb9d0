import { describe, expect, it } from 'vitest';
import { type ExportFormat, parseStudySpec } from '#contract/recipe.ts';
import { parseScheme } from '#contract/scheme.ts';
import { inspectStudyInputs } from '../../../src-main/runs/study-inputs.ts';
import { resourcesDir } from '../../support/study-run.ts';

/** A study of one variant that quantizes and exports. */
function study(scheme: string, format: ExportFormat) {
  return parseStudySpec(
    {
      name: 'exports',
      models: ['sample:abacus'],
      variants: [
        {
          name: 'variant',
          stages: [
            { type: 'quantize', method: 'rtn', scheme: parseScheme(scheme) },
            { type: 'export', format },
          ],
        },
      ],
      benchmarks: [{ name: 'sums', path: 'sample:benchmarks/abacus-sums.jsonl' }],
      protocol: {
        temperature: 0.6,
        topP: 0.95,
        topK: 0,
        maxNewTokens: 24,
        seeds: [1],
        systemPrompt: null,
        promptTemplate: '{question}',
        verifier: 'maths-1',
        problemsPerBenchmark: 6,
      },
    },
    'the test',
  );
}

const problemsOf = async (scheme: string, format: ExportFormat) => (await inspectStudyInputs(study(scheme, format), resourcesDir)).problems;

describe('inspectStudyInputs', () => {
  it('refuses an export that cannot express what its variant quantizes', async () => {
    expect(await problemsOf('W3G128', 'awq')).toEqual([
      {
        severity: 'error',
        where: 'variants, variant',
        message: expect.stringMatching(/^Its export cannot express what it quantizes: awq holds 4-bit weights, not 3-bit ones/),
        hint: expect.any(String),
      },
    ]);
  });

  it('warns of an export that rounded weights may make impossible, and accepts the others', async () => {
    expect(await problemsOf('W3G128', 'gptq')).toEqual([
      { severity: 'warning', where: 'variants, variant', message: expect.stringContaining('gptq-v2'), hint: expect.any(String) },
    ]);
    expect(await problemsOf('W3G128', 'gptq-v2')).toEqual([]);
    expect(await problemsOf('W4G128:sym', 'gptq')).toEqual([]);
  });
});
