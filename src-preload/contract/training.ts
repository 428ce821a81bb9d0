/**
 * The train stage of a recipe: what is learnt from (objective and data), what is trained (weights, fake-quantized weights, LoRA, FlatQuant's
 * transforms), and how (optimizer, batches, when quantization enters).
 */
import { z } from 'zod';
import { type QuantizationScheme, quantizationSchemeSchema } from './scheme.ts';

/** The seven linears of a decoder layer, as PEFT and Hugging Face name them. */
export const linearNames = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'] as const;
export const attentionLinearNames = ['q_proj', 'k_proj', 'v_proj', 'o_proj'] as const;
export type LinearName = (typeof linearNames)[number];

/** Rows of a JSONL or Parquet file: `prompt` + `completion`, chat `messages`, plain `text`; for RL `question` + `answer`. */
export const trainingDataSchema = z.strictObject({
  path: z.string().min(1),
  /** What the text is about, recorded with the result; the file's name when left out. */
  domain: z.string().min(1).optional(),
  /** First N rows; all when null. */
  limit: z.int().positive().nullable().default(null),
  /** Longer examples (for RL: prompts) are left out and counted. */
  maxTokens: z.int().min(2).default(2048),
  /** Applied to each prompt before the chat template; `{question}` is replaced. */
  promptTemplate: z
    .string()
    .refine((text) => text.includes('{question}'), 'must contain {question}')
    .default('{question}'),
});
export type TrainingDataSettings = z.infer<typeof trainingDataSchema>;

export const sftSchema = z.strictObject({ kind: z.literal('sft') });

export const kdSchema = z.strictObject({
  kind: z.literal('kd'),
  /** Folder of the teacher; the run's own unquantized model when null. */
  teacher: z.string().min(1).nullable().default(null),
  /** `forward`: KL(teacher‖student); `reverse`: KL(student‖teacher); `mixed`: `mix` · reverse + (1 − mix) · forward (BitDistiller). */
  direction: z.enum(['forward', 'reverse', 'mixed']).default('forward'),
  mix: z.number().min(0).max(1).default(0.5),
  /** Both distributions are softened by it; the gradient in the logits is then (pS − pT) / T. */
  temperature: z.number().positive().default(1),
  /** Only the teacher's k most probable tokens, renormalised; all when null. Needs direction `forward`. */
  topK: z.int().positive().nullable().default(null),
  /** Keep the teacher's logits on disk and reuse them in later epochs; needs `topK`. */
  cacheTeacher: z.boolean().default(false),
});

/** Where TRL and the papers differ every option is explicit; the defaults are those of paper A's code, with Dr.GRPO's as its name says. */
export const rlSchema = z.strictObject({
  kind: z.literal('rl'),
  /** How rewards of a group become advantages. `rloo`: reward minus the mean of the others. */
  advantage: z.enum(['group-mean', 'rloo']).default('group-mean'),
  /** Divide by the standard deviation (plus 1e-4) of the group or of the whole batch, or not at all (Dr.GRPO). */
  scaleRewards: z.enum(['group', 'batch', 'none']).default('group'),
  /** How token losses are averaged; see algorithms of TRL: `dr-grpo` divides by completions × maxNewTokens. */
  lossType: z.enum(['grpo', 'bnpo', 'dapo', 'dr-grpo']).default('grpo'),
  /** Weight of the KL to the model at the start; 0 keeps no reference. */
  beta: z.number().min(0).default(0),
  clipLow: z.number().min(0).lt(1).default(0.2),
  clipHigh: z.number().min(0).default(0.2),
  groupSize: z.int().min(2).default(8),
  /** Rollout of each step: prompts × groupSize completions, learnt from in `updatesPerRollout` passes. */
  promptsPerStep: z.int().positive(),
  updatesPerRollout: z.int().positive().default(1),
  temperature: z.number().positive().default(1),
  topP: z.number().gt(0).max(1).default(1),
  topK: z.int().min(0).default(0),
  maxNewTokens: z.int().positive(),
  /** Completions cut by the token limit do not count in the loss. */
  maskTruncated: z.boolean().default(false),
  /** Rewards: `format` when there is an answer in a box, plus `correct` when it is right; `truncated` instead for cut ones, if given. */
  reward: z
    .strictObject({
      format: z.number().default(0.1),
      correct: z.number().default(1),
      truncated: z.number().nullable().default(null),
      /** Exact rewards by verdict instead of the sums above. */
      byVerdict: z
        .strictObject({ correct: z.number(), incorrect: z.number(), unparsed: z.number(), truncated: z.number() })
        .nullable()
        .default(null),
    })
    .prefault({}),
  verifier: z.string().default('maths-1'),
  /** Which model samples: the one being trained, or a round-to-nearest copy of it by `rolloutScheme`. */
  rolloutScheme: quantizationSchemeSchema.nullable().default(null),
  /** Correction for a sampler that differs from the learner: weights π_old/μ cut at `cap` per token, or whole sequences above it left out. */
  importance: z
    .strictObject({ kind: z.enum(['none', 'token-truncate', 'sequence-mask']), cap: z.number().positive() })
    .default({ kind: 'none', cap: 2 }),
});

export const objectiveSchema = z.discriminatedUnion('kind', [sftSchema, kdSchema, rlSchema]);
export type Objective = z.infer<typeof objectiveSchema>;
export type SftObjective = z.infer<typeof sftSchema>;
export type KdObjective = z.infer<typeof kdSchema>;
export type RlObjective = z.infer<typeof rlSchema>;

const trainWeightsSchema = z.strictObject({ kind: z.literal('weights') });

const trainQuantizedSchema = z.strictObject({
  kind: z.literal('quantized'),
  /** Taken from the model when it is quantized already; needed otherwise. */
  scheme: quantizationSchemeSchema.optional(),
  /** The linears that are fake-quantized and stored as codes in the end; the others are trained in float. */
  modules: z
    .array(z.enum(linearNames))
    .min(1)
    .default([...linearNames]),
  /** `live`: recomputed from the weights at every step; `frozen`: those of the quantized model the stage starts from. */
  scales: z.enum(['live', 'frozen']).default('live'),
  /** One scale per matrix instead of the scheme's rows or groups (the code of paper A). Needs `live` or an unquantized start. */
  perTensor: z.boolean().default(false),
  /** Embeddings, norms and the output head. */
  others: z.enum(['trained', 'frozen']).default('trained'),
});

const trainLoraSchema = z.strictObject({
  kind: z.literal('lora'),
  rank: z.int().positive().default(8),
  /** Updates are scaled by alpha / rank. */
  alpha: z.number().positive().default(16),
  dropout: z.number().min(0).lt(1).default(0.05),
  modules: z
    .array(z.enum(linearNames))
    .min(1)
    .default([...linearNames]),
});

const trainFlatquantSchema = z.strictObject({
  kind: z.literal('flatquant'),
  /** Peak rates of transforms and diagonals, and of clip factors; the optimizer's `learningRate` is that of the weights. */
  transformRate: z.number().min(0).default(5e-5),
  clipRate: z.number().min(0).default(5e-4),
});

export const trainsSchema = z.discriminatedUnion('kind', [trainWeightsSchema, trainQuantizedSchema, trainLoraSchema, trainFlatquantSchema]);
export type Trains = z.infer<typeof trainsSchema>;
/** As written, before defaults. */
export type TrainsInput = z.input<typeof trainsSchema>;
export type TrainsOf<K extends Trains['kind']> = Extract<Trains, { kind: K }>;

/** When weights (and activations) begin to be quantized: at once, from a step on, or mixed in linearly between two steps. */
export const quantizationStartSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('begin') }),
  z.strictObject({ kind: z.literal('step'), step: z.int().positive() }),
  z.strictObject({ kind: z.literal('ramp'), from: z.int().min(0), to: z.int().positive() }),
]);
export type QuantizationStart = z.infer<typeof quantizationStartSchema>;

export const optimizerSchema = z.strictObject({
  learningRate: z.number().positive(),
  schedule: z.enum(['constant', 'linear', 'cosine']).default('cosine'),
  warmupSteps: z.int().min(0).default(0),
  /** Where the decay ends, as a share of `learningRate`. */
  floorShare: z.number().min(0).max(1).default(0),
  beta1: z.number().min(0).lt(1).default(0.9),
  beta2: z.number().min(0).lt(1).default(0.95),
  epsilon: z.number().positive().default(1e-8),
  weightDecay: z.number().min(0).default(0),
  maxGradientNorm: z.number().positive().default(1),
});
export type OptimizerSettings = z.infer<typeof optimizerSchema>;

export const trainStageSchema = z
  .strictObject({
    type: z.literal('train'),
    objective: objectiveSchema,
    trains: trainsSchema,
    data: trainingDataSchema,
    steps: z.int().positive(),
    /** Sequences per micro-batch; a step is `accumulation` of them. With RL a rollout is cut into micro-batches of this many completions. */
    batchSize: z.int().positive(),
    accumulation: z.int().positive().default(1),
    /**
     * `length`: sequences of similar length share a micro-batch; `packing`: those of a micro-batch lie in one row, without padding. With RL
     * completions of similar length do, in one row where the backend's attention takes that.
     */
    batching: z.enum(['length', 'packing', 'random']).default('length'),
    optimizer: optimizerSchema,
    quantizationStart: quantizationStartSchema.default({ kind: 'begin' }),
    /** Accuracy on the first problems of the study's benchmarks while training. */
    evaluation: z.strictObject({ every: z.int().positive(), problems: z.int().positive() }).nullable().default(null),
    /** Steps between checkpoints, from which an interrupted run goes on. */
    checkpointEvery: z.int().positive().default(50),
    /** Recompute activations in the backward pass, layer by layer, instead of keeping them. */
    activationCheckpointing: z.boolean().default(false),
    /** Gradient variance across micro-batches at every step, and how far the policy moves where quantization enters. */
    probes: z.boolean().default(false),
  })
  .superRefine((stage, context) => {
    for (const { path, message } of trainProblems(stage)) context.addIssue({ code: 'custom', path, message });
  });
export type TrainStage = z.infer<typeof trainStageSchema>;

/** What contradicts itself in a train stage whose single fields are right. */
function trainProblems(stage: Omit<TrainStage, 'type'>): { path: string[]; message: string }[] {
  const { objective, trains, quantizationStart, optimizer, steps, batching } = stage;
  const problems: { path: string[]; message: string }[] = [];
  const add = (path: string, message: string) => problems.push({ path: path.split('.'), message });
  if (objective.kind === 'kd' && objective.topK !== null && objective.direction !== 'forward')
    add('objective.topK', 'the teacher’s top-k tokens can be used with direction "forward" only');
  if (objective.kind === 'kd' && objective.cacheTeacher && objective.topK === null)
    add('objective.cacheTeacher', 'needs topK: whole distributions would fill the disk');
  if (objective.kind === 'rl' && batching === 'packing') add('batching', 'is chosen by the backend with rl; leave "length"');
  if (objective.kind === 'rl' && stage.accumulation !== 1)
    add('accumulation', 'must be 1 with rl: the whole rollout makes one step, in micro-batches of batchSize');
  if (trains.kind === 'quantized' && trains.scheme?.coding)
    add(
      'trains.scheme',
      `${trains.scheme.coding.toUpperCase()} has no gradient through its codes; train LoRA on it, or choose an integer scheme`,
    );
  if (trains.kind === 'quantized' && trains.perTensor && trains.scales === 'frozen' && !trains.scheme)
    add('trains.perTensor', 'needs scales "live": a quantized model has no scale per matrix');
  if (quantizationStart.kind !== 'begin' && trains.kind !== 'quantized')
    add('quantizationStart', 'can be delayed only where fake-quantized weights are trained');
  if (quantizationStart.kind === 'ramp' && quantizationStart.to <= quantizationStart.from)
    add('quantizationStart.to', 'must lie after "from"');
  if (quantizationStart.kind === 'ramp' && quantizationStart.to >= steps)
    add('quantizationStart.to', `must lie before the last of ${steps} steps, so that the model ends up wholly quantized`);
  if (quantizationStart.kind === 'step' && quantizationStart.step >= steps)
    add('quantizationStart.step', `must lie before the last of ${steps} steps`);
  if (optimizer.warmupSteps >= steps) add('optimizer.warmupSteps', `must be fewer than the ${steps} steps`);
  if (optimizer.learningRate > 1) add('optimizer.learningRate', 'above 1 nothing is learnt');
  return problems;
}

/** Share of quantization that is mixed in at step `step`, from 0. */
export function quantizationShare(start: QuantizationStart, step: number): number {
  if (start.kind === 'begin') return 1;
  if (start.kind === 'step') return step >= start.step ? 1 : 0;
  return Math.min(1, Math.max(0, (step - start.from) / (start.to - start.from)));
}

const objectiveTitles = { sft: 'SFT', kd: 'KD' } as const;

/** `KD`, `GRPO`, `Dr.GRPO`, `RLOO`. */
export function objectiveTitle(objective: Objective): string {
  if (objective.kind !== 'rl') return objectiveTitles[objective.kind];
  if (objective.advantage === 'rloo') return 'RLOO';
  return objective.scaleRewards === 'none' ? 'Dr.GRPO' : 'GRPO';
}

/** `QAT`, `QLoRA`, `FlatQuant QAT`; nothing for plain weights. */
export function trainsTitle(trains: Trains): string {
  return { weights: '', quantized: 'QAT', lora: 'QLoRA', flatquant: 'FlatQuant QAT' }[trains.kind];
}

/** The scheme a stage brings in itself. */
export function trainedScheme(trains: Trains): QuantizationScheme | null {
  return trains.kind === 'quantized' ? (trains.scheme ?? null) : null;
}
