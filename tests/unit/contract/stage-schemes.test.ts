import { describe, expect, it } from 'vitest';
import { codingProblem, parseStudySpec, type QuantizationMethod, quantizationMethods, quantizeStageSchema } from '#contract/recipe.ts';
import { parseScheme } from '#contract/scheme.ts';

const calibration = { path: 'text.jsonl', samples: 1, sequenceLength: 8, seed: 0 };
const stage = (method: QuantizationMethod, scheme: string, overrides: { pattern: string; scheme: string | null }[] = []) => ({
  type: 'quantize',
  method,
  scheme: parseScheme(scheme),
  overrides: overrides.map((override) => ({ ...override, scheme: override.scheme && parseScheme(override.scheme) })),
  ...(['rtn', 'nf4', 'int8'].includes(method) ? {} : { calibration }),
});

describe('a method and its scheme', () => {
  it.each(quantizationMethods)('%s accepts what it writes and nothing else', (method) => {
    const own = method === 'nf4' ? ['NF4', 'NF4:double', 'NF4KV4'] : method === 'int8' ? ['INT8'] : ['W4G128', 'W3', 'W8:sym', 'W4A4KV4'];
    const foreign = ['W4G128', 'NF4', 'INT8'].filter((scheme) => !own.includes(scheme));
    for (const scheme of own) {
      expect(codingProblem(method, parseScheme(scheme))).toBeNull();
      expect(quantizeStageSchema.safeParse(stage(method, scheme)).success).toBe(true);
    }
    for (const scheme of foreign) {
      const parsed = quantizeStageSchema.safeParse(stage(method, scheme));
      expect(parsed.error!.issues).toMatchObject([{ path: ['scheme'], message: codingProblem(method, parseScheme(scheme)) }]);
    }
  });

  it('must fit in overrides too; modules left unquantized always do', () => {
    const overrides = [
      { pattern: '*.q_proj', scheme: null },
      { pattern: '*.down_proj', scheme: 'NF4' },
    ];
    expect(quantizeStageSchema.safeParse(stage('gptq', 'W4', overrides)).error!.issues).toMatchObject([
      { path: ['overrides', 1, 'scheme'], message: 'GPTQ needs an integer scheme such as W4G128, not NF4' },
    ]);
    expect(quantizeStageSchema.safeParse(stage('nf4', 'NF4', [{ pattern: '*.q_proj', scheme: 'NF4:double' }])).success).toBe(true);
  });

  it('must fit among the candidates of mixed precision too', () => {
    const mixed = { budgetBits: 4, candidates: ['W3G32', 'NF4', 'W4'].map(parseScheme), calibration };
    expect(quantizeStageSchema.safeParse({ ...stage('awq', 'W4'), mixed }).error!.issues).toMatchObject([
      { path: ['mixed', 'candidates', 1], message: 'AWQ needs an integer scheme such as W4G128, not NF4' },
    ]);
  });

  it('is named as the problem of a study', () => {
    const study = {
      name: 'study',
      models: ['model'],
      variants: [{ name: 'wrong', stages: [stage('int8', 'W8')] }],
      benchmarks: [{ name: 'sums', path: 'sums.jsonl' }],
      protocol: { seeds: [1] },
    };
    expect(() => parseStudySpec(study, 'The file')).toThrowError(
      expect.objectContaining({
        code: 'recipe-invalid',
        problems: expect.arrayContaining([
          expect.stringMatching(/^variants\.0\.stages\.0\.scheme: INT8 writes the scheme INT8 only, not W8$/),
        ]),
      }),
    );
  });
});
