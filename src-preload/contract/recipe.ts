/**
 * Recipes and studies: data, never code. A recipe is an ordered list of stages; a study is a grid of recipes × models × seeds
 * under one frozen evaluation protocol, always with the unquantized baseline.
 */
import { z } from 'zod';
import { RoundoffError } from './errors.ts';
import { benchmarkReferenceSchema, evaluationProtocolSchema } from './protocol.ts';
import { formatScheme, quantizationSchemeSchema } from './scheme.ts';

export const quantizationMethods = ['rtn', 'gptq'] as const;
export type QuantizationMethod = (typeof quantizationMethods)[number];

export const exportFormats = ['roundoff', 'dequantized'] as const;
export type ExportFormat = (typeof exportFormats)[number];

/** Calibration text: a JSONL with `text` (or `prompt` + `completion`) per line, or a plain .txt file. */
export const calibrationSchema = z.strictObject({
  path: z.string().min(1),
  samples: z.int().positive(),
  /** Tokens per sample. Longer documents are cut, shorter ones joined, by the calibrator. */
  sequenceLength: z.int().positive(),
  seed: z.int().min(0),
});
export type CalibrationSettings = z.infer<typeof calibrationSchema>;

export const gptqOptionsSchema = z.strictObject({
  blockSize: z.int().positive().default(128),
  /** Damping as a share of the mean of the Hessian's diagonal. */
  dampPercent: z.number().positive().default(0.01),
  actOrder: z.boolean().default(false),
  staticGroups: z.boolean().default(false),
  trueSequential: z.boolean().default(true),
  /** Search a shrunken range per group that minimises Σ|error|^2.4 before quantizing. */
  mseSearch: z.boolean().default(true),
});
export type GptqOptions = z.infer<typeof gptqOptionsSchema>;

export const rtnOptionsSchema = z.strictObject({ mseSearch: z.boolean().default(false) });

export const quantizeStageSchema = z.discriminatedUnion('method', [
  z.strictObject({
    type: z.literal('quantize'),
    method: z.literal('rtn'),
    scheme: quantizationSchemeSchema,
    options: rtnOptionsSchema.default({ mseSearch: false }),
  }),
  z.strictObject({
    type: z.literal('quantize'),
    method: z.literal('gptq'),
    scheme: quantizationSchemeSchema,
    calibration: calibrationSchema,
    options: gptqOptionsSchema.prefault({}),
  }),
]);
export type QuantizeStage = z.infer<typeof quantizeStageSchema>;

export const evaluateStageSchema = z.strictObject({
  type: z.literal('evaluate'),
  benchmarks: z.array(benchmarkReferenceSchema).min(1),
  protocol: evaluationProtocolSchema,
});
export type EvaluateStage = z.infer<typeof evaluateStageSchema>;

export const exportStageSchema = z.strictObject({ type: z.literal('export'), format: z.enum(exportFormats) });
export type ExportStage = z.infer<typeof exportStageSchema>;

export type Stage = QuantizeStage | EvaluateStage | ExportStage;
export type StageType = Stage['type'];
export const stageSchema: z.ZodType<Stage> = z.union([quantizeStageSchema, evaluateStageSchema, exportStageSchema]);

export const recipeSchema = z.strictObject({
  name: z.string().min(1),
  description: z.string().default(''),
  stages: z.array(stageSchema),
});
export type Recipe = z.infer<typeof recipeSchema>;

/** A variant of a study: the stages before evaluation. No stages at all is the baseline. */
export const studyVariantSchema = z.strictObject({
  name: z.string().min(1),
  stages: z.array(z.union([quantizeStageSchema, exportStageSchema])),
});
export type StudyVariant = z.infer<typeof studyVariantSchema>;

export const studySpecSchema = z.strictObject({
  name: z.string().min(1),
  description: z.string().default(''),
  /** Model folders; `sample:` paths lie in the bundled sample folder. */
  models: z.array(z.string().min(1)).min(1),
  variants: z.array(studyVariantSchema),
  /** Seeds of the runs (calibration order, training). Evaluation seeds belong to the protocol. */
  seeds: z.array(z.int().min(0)).min(1).default([42]),
  benchmarks: z.array(benchmarkReferenceSchema).min(1),
  protocol: evaluationProtocolSchema,
  backend: z.enum(['auto', 'wasm', 'webgpu', 'tensorflow']).default('auto'),
});
export type StudySpec = z.infer<typeof studySpecSchema>;
export type StudySpecInput = z.input<typeof studySpecSchema>;

/** Validates a whole study and reports every problem at once. Throws `recipe-invalid`. */
export function parseStudySpec(value: unknown, source: string): StudySpec {
  const parsed = studySpecSchema.safeParse(value);
  const problems = parsed.success
    ? duplicates(parsed.data)
    : parsed.error.issues.map((issue) => `${issue.path.join('.') || '(top)'}: ${issue.message}`);
  if (!parsed.success || problems.length > 0) {
    throw new RoundoffError(
      'recipe-invalid',
      `${source} is not a valid study: ${problems[0]}${problems.length > 1 ? ` (and ${problems.length - 1} more)` : ''}`,
      'Correct the fields listed, or start from a preset.',
      { problems },
    );
  }
  return parsed.data;
}

function duplicates(spec: StudySpec): string[] {
  const problems: string[] = [];
  const check = (what: string, names: string[]) => {
    for (const name of new Set(names.filter((item, index) => names.indexOf(item) !== index)))
      problems.push(`${what}: "${name}" appears twice`);
  };
  check(
    'variants',
    spec.variants.map((variant) => variant.name),
  );
  check(
    'benchmarks',
    spec.benchmarks.map((benchmark) => benchmark.name),
  );
  check('models', spec.models);
  check('seeds', spec.seeds.map(String));
  check('protocol.seeds', spec.protocol.seeds.map(String));
  if (spec.variants.some((variant) => variant.name === baselineName))
    problems.push(`variants: the name "${baselineName}" is reserved; the baseline is always added`);
  return problems;
}

export const baselineName = 'baseline';

/** A stage in a few words: `GPTQ W3G128`, `Evaluate 5 benchmarks`, `Export dequantized`. */
export function stageTitle(stage: Stage): string {
  if (stage.type === 'quantize') return `${stage.method.toUpperCase()} ${formatScheme(stage.scheme)}`;
  if (stage.type === 'evaluate') return `Evaluate ${stage.benchmarks.length} benchmark${stage.benchmarks.length === 1 ? '' : 's'}`;
  return `Export ${stage.format}`;
}
