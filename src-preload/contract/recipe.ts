/**
 * Recipes and studies: data, never code. A recipe is an ordered list of stages; a study is a grid of recipes × models × seeds
 * under one frozen evaluation protocol, always with the unquantized baseline.
 */
import { z } from 'zod';
import { RoundoffError } from './errors.ts';
import { benchmarkReferenceSchema, evaluationProtocolSchema } from './protocol.ts';
import { formatScheme, type QuantizationScheme, quantizationSchemeSchema } from './scheme.ts';
import { objectiveTitle, type TrainStage, trainStageSchema, trainsTitle } from './training.ts';

export const quantizationMethods = ['rtn', 'gptq', 'awq', 'nf4', 'int8', 'quarot', 'flatquant'] as const;
export type QuantizationMethod = (typeof quantizationMethods)[number];

export const exportFormats = [
  'roundoff',
  'dequantized',
  'gptq',
  'gptq-v2',
  'awq',
  'bitsandbytes',
  'compressed-tensors',
  'gguf-f16',
  'gguf-q8_0',
  'gguf-q4_0',
] as const;
export type ExportFormat = (typeof exportFormats)[number];

/** How a model's own solutions are sampled when they are the calibration text (Reasoning-QAT's reasoning-aware calibration). */
export const solutionsSchema = z.strictObject({
  /** Problems to solve, drawn in seeded order; all when null. */
  problems: z.int().positive().nullable().default(256),
  temperature: z.number().min(0).max(2).default(0.6),
  topP: z.number().gt(0).max(1).default(0.95),
  maxNewTokens: z.int().positive().default(2048),
  /** Applied to each problem before the chat template; `{question}` is replaced. */
  promptTemplate: z
    .string()
    .refine((text) => text.includes('{question}'), 'must contain {question}')
    .default('{question}'),
});
export type SolutionsSettings = z.infer<typeof solutionsSchema>;

/** Calibration text: a JSONL or Parquet with `text` (or `prompt` + `completion`) per row, or a plain .txt file. */
export const calibrationSchema = z.strictObject({
  path: z.string().min(1),
  samples: z.int().positive(),
  /** Tokens per sample. Longer documents are cut, shorter ones joined, by the calibrator. */
  sequenceLength: z.int().positive(),
  seed: z.int().min(0),
  /** What the text is about, recorded with the result; the file's name when left out. */
  domain: z.string().min(1).optional(),
  /** When given, `path` is a set of problems, and what the model itself writes for them is the calibration text. */
  solutions: solutionsSchema.optional(),
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
  /** Keep the error-compensated weights before rounding in `latents.safetensors`, from which quantization-aware training starts. */
  keepLatents: z.boolean().optional(),
});
export type GptqOptions = z.infer<typeof gptqOptionsSchema>;

export const rtnOptionsSchema = z.strictObject({ mseSearch: z.boolean().default(false) });
export type RtnStageOptions = z.infer<typeof rtnOptionsSchema>;

export const awqOptionsSchema = z.strictObject({
  /** `activation`: t = mean|x|^r (llm-awq, QRM); `duo`: divided by (mean normalised |w|)^(1−r) (AutoAWQ). */
  scaling: z.enum(['activation', 'duo']).default('activation'),
  /** Search a clipped range per group after scaling. */
  clip: z.boolean().default(true),
});
export type AwqOptions = z.infer<typeof awqOptionsSchema>;

export const nf4OptionsSchema = z.strictObject({});

export const int8OptionsSchema = z.strictObject({
  /** Activations of at least this magnitude stay in float. */
  outlierThreshold: z.number().positive().default(6),
});
export type Int8Options = z.infer<typeof int8OptionsSchema>;

export const quarotOptionsSchema = z.strictObject({
  /** How the rotated weights are rounded. */
  weights: z.enum(['gptq', 'rtn']).default('gptq'),
  /** Search a shrunken weight range that minimises Σ|error|^2.4. */
  mseSearch: z.boolean().default(true),
  dampPercent: z.number().positive().default(0.01),
  blockSize: z.int().positive().default(128),
  /** Seed of the random signs. */
  seed: z.int().min(0).default(0),
});
export type QuarotOptions = z.infer<typeof quarotOptionsSchema>;

export const flatquantOptionsSchema = z.strictObject({
  epochs: z.int().positive().default(15),
  batchSize: z.int().positive().default(4),
  /** Peak rate of the transforms and the diagonal; clip factors learn `clipRateFactor` times as fast. Cosine to 1/1000. */
  learningRate: z.number().positive().default(0.005),
  clipRateFactor: z.number().positive().default(10),
  /** Exponent of the diagonal's initial value. */
  alpha: z.number().min(0).max(1).default(0.3),
  /** `direct`: the matrix itself is trained and inverted; `svd`: two Cayley-orthogonal factors and a diagonal. */
  parameterisation: z.enum(['direct', 'svd']).default('direct'),
  /** How the transformed weights are rounded in the end. */
  weights: z.enum(['rtn', 'gptq']).default('rtn'),
  /** Seed of the random orthogonal starts. */
  seed: z.int().min(0).default(0),
});
export type FlatquantOptions = z.infer<typeof flatquantOptionsSchema>;

/** Another scheme for the modules a pattern matches: `*` stands for any text. Null leaves them unquantized. The first match wins. */
export const schemeOverrideSchema = z.strictObject({ pattern: z.string().min(1), scheme: quantizationSchemeSchema.nullable() });
export type SchemeOverride = z.infer<typeof schemeOverrideSchema>;

/** Mixed precision chosen by a sensitivity scan: the candidates that cost least divergence within the budget, unit by unit. */
export const mixedPrecisionSchema = z.strictObject({
  /** Bits per weight of all decoder linears together, scales and zero points included. */
  budgetBits: z.number().min(2).max(9),
  candidates: z.array(quantizationSchemeSchema).min(2).max(12),
  granularity: z.enum(['layer', 'module']).default('layer'),
  /** Text on which the divergence from the unquantized model is measured. */
  calibration: calibrationSchema,
});
export type MixedPrecision = z.infer<typeof mixedPrecisionSchema>;

const stageBase = {
  type: z.literal('quantize'),
  scheme: quantizationSchemeSchema,
  /** Mixed precision by module. */
  overrides: z.array(schemeOverrideSchema).optional(),
  /** Instead of `overrides`: they and the scheme are proposed by a sensitivity scan before quantization. */
  mixed: mixedPrecisionSchema.optional(),
  /** Both ends of a token's range are multiplied by these before its activations, keys and values are quantized; see `clipsOf`. */
  activationClip: z.number().gt(0).max(1).optional(),
  kvClip: z.number().gt(0).max(1).optional(),
  /** Keep the calibration's hidden states on disk instead of in memory. */
  spillActivations: z.boolean().optional(),
} as const;

const stageByMethodSchema = z.discriminatedUnion('method', [
  z.strictObject({ ...stageBase, method: z.literal('rtn'), options: rtnOptionsSchema.default({ mseSearch: false }) }),
  z.strictObject({
    ...stageBase,
    method: z.literal('gptq'),
    calibration: calibrationSchema,
    options: gptqOptionsSchema.prefault({}),
  }),
  z.strictObject({ ...stageBase, method: z.literal('awq'), calibration: calibrationSchema, options: awqOptionsSchema.prefault({}) }),
  z.strictObject({ ...stageBase, method: z.literal('nf4'), options: nf4OptionsSchema.prefault({}) }),
  z.strictObject({ ...stageBase, method: z.literal('int8'), options: int8OptionsSchema.prefault({}) }),
  z.strictObject({
    ...stageBase,
    method: z.literal('quarot'),
    /** Needed unless weights are rounded to nearest. */
    calibration: calibrationSchema.optional(),
    options: quarotOptionsSchema.prefault({}),
  }),
  z.strictObject({
    ...stageBase,
    method: z.literal('flatquant'),
    calibration: calibrationSchema,
    options: flatquantOptionsSchema.prefault({}),
  }),
]);

/** Every scheme of a stage is one its method can write, and the text it calibrates on is there. */
export const quantizeStageSchema = stageByMethodSchema.superRefine((stage, context) => {
  const { method, scheme, overrides = [], mixed } = stage;
  const check = (path: (string | number)[], used: QuantizationScheme | null) => {
    const message = used && codingProblem(method, used);
    if (message) context.addIssue({ code: 'custom', path, message });
  };
  check(['scheme'], scheme);
  for (const [index, override] of overrides.entries()) check(['overrides', index, 'scheme'], override.scheme);
  for (const [index, candidate] of (mixed?.candidates ?? []).entries()) check(['mixed', 'candidates', index], candidate);
  if (method === 'quarot' && stage.options.weights === 'gptq' && !stage.calibration)
    context.addIssue({ code: 'custom', path: ['calibration'], message: 'QuaRot needs calibration text to round weights by GPTQ' });
});
export type QuantizeStage = z.infer<typeof quantizeStageSchema>;
export type StageOf<M extends QuantizationMethod> = Extract<QuantizeStage, { method: M }>;

/** Why a method cannot write a scheme: NF4 and INT8 write their own coding, all others integer grids. Null when it can. */
export function codingProblem(method: QuantizationMethod, scheme: QuantizationScheme): string | null {
  const needed = method === 'nf4' || method === 'int8' ? method : undefined;
  if (scheme.coding === needed) return null;
  const written = formatScheme(scheme);
  return needed
    ? `${methodTitle(method)} writes the scheme ${methodTitle(method)} only, not ${written}`
    : `${methodTitle(method)} needs an integer scheme such as W4G128, not ${written}`;
}

/** Clip ratios where a stage gives none: those of QuaRot's published runs; other methods keep the full range (FlatQuant learns its own). */
export function clipsOf(stage: QuantizeStage): { activationClip: number; kvClip: number } {
  const usual = stage.method === 'quarot' ? { activationClip: 0.9, kvClip: 0.95 } : { activationClip: 1, kvClip: 1 };
  return { activationClip: stage.activationClip ?? usual.activationClip, kvClip: stage.kvClip ?? usual.kvClip };
}

/** The scheme of a stage in words: `W3G128`, with what is said of single modules. */
export function stageScheme({ scheme, overrides, mixed }: Pick<QuantizeStage, 'scheme' | 'overrides' | 'mixed'>): string {
  if (mixed) return `mixed ${mixed.budgetBits} bits`;
  return `${formatScheme(scheme)}${overrides && overrides.length > 0 ? ' mixed' : ''}`;
}

/** The stage's calibration settings; null for methods that need none, as QuaRot whose weights are rounded to nearest. */
export function calibrationOf(stage: QuantizeStage): CalibrationSettings | null {
  if (stage.method === 'quarot' && stage.options.weights === 'rtn') return null;
  return ('calibration' in stage && stage.calibration) || null;
}

export const evaluateStageSchema = z.strictObject({
  type: z.literal('evaluate'),
  benchmarks: z.array(benchmarkReferenceSchema).min(1),
  protocol: evaluationProtocolSchema,
});
export type EvaluateStage = z.infer<typeof evaluateStageSchema>;

export const exportStageSchema = z.strictObject({ type: z.literal('export'), format: z.enum(exportFormats) });
export type ExportStage = z.infer<typeof exportStageSchema>;

export type Stage = QuantizeStage | TrainStage | EvaluateStage | ExportStage;
export type StageType = Stage['type'];
export const stageSchema: z.ZodType<Stage> = z.union([quantizeStageSchema, trainStageSchema, evaluateStageSchema, exportStageSchema]);

export const recipeSchema = z.strictObject({
  name: z.string().min(1),
  description: z.string().default(''),
  stages: z.array(stageSchema),
});
export type Recipe = z.infer<typeof recipeSchema>;

/** A variant of a study: the stages before evaluation. No stages at all is the baseline. */
export const studyVariantSchema = z.strictObject({
  name: z.string().min(1),
  stages: z.array(z.union([quantizeStageSchema, trainStageSchema, exportStageSchema])),
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

const methodTitles: Record<QuantizationMethod, string> = {
  rtn: 'RTN',
  gptq: 'GPTQ',
  awq: 'AWQ',
  nf4: 'NF4',
  int8: 'INT8',
  quarot: 'QuaRot',
  flatquant: 'FlatQuant',
};

/** A method's name as people write it; of unknown ones (from newer files) the capitals. */
export function methodTitle(method: string): string {
  return methodTitles[method as QuantizationMethod] ?? method.toUpperCase();
}

/** `GPTQ W3G128`; NF4 and INT8 are method and scheme in one word. */
export function variantTitle(method: QuantizationMethod, scheme: QuantizationScheme | string): string {
  const written = typeof scheme === 'string' ? scheme : formatScheme(scheme);
  return written.startsWith(methodTitle(method)) ? written : `${methodTitle(method)} ${written}`;
}

/** `KD QAT W3G128`, `GRPO QLoRA`, `SFT`. */
export function trainTitle({ objective, trains }: TrainStage): string {
  const scheme = trains.kind === 'quantized' && trains.scheme ? formatScheme(trains.scheme) : '';
  return [objectiveTitle(objective), trainsTitle(trains), scheme].filter(Boolean).join(' ');
}

/** A stage in a few words: `GPTQ W3G128`, `KD QAT`, `Evaluate 5 benchmarks`, `Export dequantized`. */
export function stageTitle(stage: Stage): string {
  if (stage.type === 'quantize') return variantTitle(stage.method, stageScheme(stage));
  if (stage.type === 'train') return trainTitle(stage);
  if (stage.type === 'evaluate') return `Evaluate ${stage.benchmarks.length} benchmark${stage.benchmarks.length === 1 ? '' : 's'}`;
  return `Export ${stage.format}`;
}
