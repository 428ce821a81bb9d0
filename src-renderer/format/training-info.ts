/** What training does and takes, in words: objectives, what is trained, and every setting of a stage with its field. Pure. */
import { parseScheme } from '#contract/scheme.ts';
import { linearNames, type TrainStage, type Trains } from '#contract/training.ts';
import type { ObjectiveChoice } from '#contract/training-defaults.ts';

export const objectiveInfo: Record<ObjectiveChoice, { title: string; text: string }> = {
  sft: { title: 'SFT', text: 'Learns the answers of the data, token by token.' },
  kd: { title: 'KD', text: 'Learns the distributions of the unquantized model (or another teacher) over the answers of the data.' },
  grpo: { title: 'GRPO', text: 'Samples a group of completions per problem and learns from those that are better than the group’s mean.' },
  'dr-grpo': { title: 'Dr.GRPO', text: 'GRPO without dividing by the group’s deviation or by each completion’s length.' },
  rloo: { title: 'RLOO', text: 'Compares each completion with the mean of the others in its group.' },
};

export const trainsInfo: Record<Trains['kind'], { title: string; text: string }> = {
  weights: { title: 'All weights', text: 'Every parameter in full precision.' },
  quantized: {
    title: 'Quantized weights (QAT)',
    text: 'Weights are rounded in every forward pass, and gradients pass straight through the rounding.',
  },
  lora: { title: 'LoRA', text: 'Small updates of low rank beside frozen weights; QLoRA when those are NF4.' },
  flatquant: { title: 'FlatQuant', text: 'Weights, transforms and clip factors of a model that FlatQuant quantized.' },
};

interface FieldBase {
  /** Place in the stage, as in `optimizer.learningRate`. */
  path: string;
  label: string;
  text?: string;
  isShown?(stage: TrainStage): boolean;
}
export type TrainField = FieldBase &
  (
    | { kind: 'count'; min: number; step?: number /** Empty stands for this. */; empty?: string }
    | { kind: 'number' | 'rate'; empty?: string }
    | { kind: 'switch'; on?: unknown; off?: unknown }
    | { kind: 'choice'; choices: readonly { value: string; label: string }[] }
    | { kind: 'list'; choices: readonly { value: string; label: string }[] }
    | { kind: 'text' | 'scheme'; empty?: string }
  );

const isRl = ({ objective }: TrainStage) => objective.kind === 'rl';
const isKd = ({ objective }: TrainStage) => objective.kind === 'kd';
const trains =
  (...kinds: Trains['kind'][]) =>
  (stage: TrainStage) =>
    kinds.includes(stage.trains.kind);

/** Shown at once. */
export const mainFields: readonly TrainField[] = [
  { path: 'steps', kind: 'count', min: 1, step: 50, label: 'Steps', text: 'Updates of the weights.' },
  { path: 'batchSize', kind: 'count', min: 1, label: 'Batch', text: 'Sequences computed at once.' },
  { path: 'accumulation', kind: 'count', min: 1, label: 'Batches per step', isShown: (stage) => !isRl(stage) },
  { path: 'objective.promptsPerStep', kind: 'count', min: 1, label: 'Problems per step', isShown: isRl },
  { path: 'objective.groupSize', kind: 'count', min: 2, label: 'Completions per problem', isShown: isRl },
  { path: 'objective.maxNewTokens', kind: 'count', min: 1, step: 64, label: 'New tokens', text: 'Limit of a completion.', isShown: isRl },
  { path: 'optimizer.learningRate', kind: 'rate', label: 'Learning rate', text: 'At its peak.' },
  {
    path: 'optimizer.schedule',
    kind: 'choice',
    label: 'Schedule',
    choices: [
      { value: 'cosine', label: 'Cosine' },
      { value: 'linear', label: 'Linear' },
      { value: 'constant', label: 'Constant' },
    ],
  },
  { path: 'optimizer.warmupSteps', kind: 'count', min: 0, step: 5, label: 'Warm-up', text: 'Steps until the peak.' },
  { path: 'trains.transformRate', kind: 'rate', label: 'Rate of transforms', isShown: trains('flatquant') },
  { path: 'trains.clipRate', kind: 'rate', label: 'Rate of clip factors', isShown: trains('flatquant') },
  { path: 'trains.rank', kind: 'count', min: 1, label: 'Rank', isShown: trains('lora') },
  { path: 'trains.alpha', kind: 'number', label: 'Alpha', text: 'Updates are scaled by alpha ÷ rank.', isShown: trains('lora') },
];

const linears = linearNames.map((name) => ({ value: name, label: name }));

/** Folded away, under headings. */
export const advancedFields: readonly { title: string; fields: readonly TrainField[] }[] = [
  {
    title: 'Objective',
    fields: [
      {
        path: 'objective.teacher',
        kind: 'text',
        empty: 'The model before quantization',
        label: 'Teacher',
        text: 'Folder of another one.',
        isShown: isKd,
      },
      {
        path: 'objective.direction',
        kind: 'choice',
        label: 'Divergence',
        isShown: isKd,
        choices: [
          { value: 'forward', label: 'KL(teacher‖student)' },
          { value: 'reverse', label: 'KL(student‖teacher)' },
          { value: 'mixed', label: 'Mixed' },
        ],
      },
      {
        path: 'objective.mix',
        kind: 'number',
        label: 'Share of reverse',
        isShown: ({ objective }) => objective.kind === 'kd' && objective.direction === 'mixed',
      },
      { path: 'objective.temperature', kind: 'number', label: 'Temperature', isShown: (stage) => isKd(stage) || isRl(stage) },
      { path: 'objective.topK', kind: 'count', min: 1, empty: 'All', label: 'Teacher’s top tokens', isShown: isKd },
      { path: 'objective.cacheTeacher', kind: 'switch', label: 'Keep the teacher’s logits on disk', isShown: isKd },
      { path: 'objective.reward.correct', kind: 'number', label: 'Reward of a right answer', isShown: isRl },
      { path: 'objective.reward.format', kind: 'number', label: 'Reward of any answer', isShown: isRl },
      {
        path: 'objective.reward.truncated',
        kind: 'number',
        empty: 'As any other',
        label: 'Reward of a cut completion',
        isShown: isRl,
      },
      { path: 'objective.beta', kind: 'number', label: 'KL to the start', text: 'Weight; 0 keeps no reference.', isShown: isRl },
      { path: 'objective.clipLow', kind: 'number', label: 'Clip below', isShown: isRl },
      { path: 'objective.clipHigh', kind: 'number', label: 'Clip above', isShown: isRl },
      {
        path: 'objective.lossType',
        kind: 'choice',
        label: 'Mean of token losses',
        isShown: isRl,
        choices: [
          { value: 'grpo', label: 'Per completion' },
          { value: 'bnpo', label: 'Per token of the batch' },
          { value: 'dapo', label: 'Per token of the step' },
          { value: 'dr-grpo', label: 'Per token of the limit' },
        ],
      },
      {
        path: 'objective.scaleRewards',
        kind: 'choice',
        label: 'Advantages divided by',
        isShown: isRl,
        choices: [
          { value: 'group', label: 'Deviation of the group' },
          { value: 'batch', label: 'Deviation of the batch' },
          { value: 'none', label: 'Nothing' },
        ],
      },
      { path: 'objective.topP', kind: 'number', label: 'Top-p of sampling', isShown: isRl },
      { path: 'objective.topK', kind: 'count', min: 0, label: 'Top-k of sampling', text: '0 samples from all tokens.', isShown: isRl },
      { path: 'objective.updatesPerRollout', kind: 'count', min: 1, label: 'Updates per rollout', isShown: isRl },
      { path: 'objective.maskTruncated', kind: 'switch', label: 'Leave out completions that were cut', isShown: isRl },
      { path: 'objective.rolloutScheme', kind: 'scheme', empty: 'The model itself', label: 'Samples from a copy in', isShown: isRl },
      {
        path: 'objective.importance.kind',
        kind: 'choice',
        label: 'Where the sampler differs',
        isShown: isRl,
        choices: [
          { value: 'none', label: 'No correction' },
          { value: 'token-truncate', label: 'Weigh tokens, up to a cap' },
          { value: 'sequence-mask', label: 'Leave out completions above a cap' },
        ],
      },
      {
        path: 'objective.importance.cap',
        kind: 'number',
        label: 'Cap of the correction',
        isShown: ({ objective }) => objective.kind === 'rl' && objective.importance.kind !== 'none',
      },
    ],
  },
  {
    title: 'What is trained',
    fields: [
      {
        path: 'trains.scales',
        kind: 'switch',
        on: 'frozen',
        off: 'live',
        label: 'Keep the quantized model’s scales',
        isShown: trains('quantized'),
      },
      { path: 'trains.perTensor', kind: 'switch', label: 'One scale per matrix', isShown: trains('quantized') },
      {
        path: 'trains.others',
        kind: 'switch',
        on: 'frozen',
        off: 'trained',
        label: 'Freeze embeddings, norms and head',
        isShown: trains('quantized'),
      },
      { path: 'trains.modules', kind: 'list', choices: linears, label: 'Linears', isShown: trains('quantized', 'lora') },
      { path: 'trains.dropout', kind: 'number', label: 'Dropout', isShown: trains('lora') },
    ],
  },
  {
    title: 'Data',
    fields: [
      { path: 'data.domain', kind: 'text', empty: 'Name of the file', label: 'Domain, as recorded' },
      { path: 'data.limit', kind: 'count', min: 1, empty: 'All', label: 'First rows' },
      { path: 'data.maxTokens', kind: 'count', min: 2, step: 128, label: 'Longest example', text: 'In tokens; longer ones are left out.' },
      { path: 'data.promptTemplate', kind: 'text', label: 'Prompt template', text: '{question} is replaced.' },
      {
        path: 'batching',
        kind: 'choice',
        label: 'Sequences of a batch',
        isShown: (stage) => !isRl(stage),
        choices: [
          { value: 'length', label: 'Of similar length' },
          { value: 'packing', label: 'Packed into rows' },
          { value: 'random', label: 'At random' },
        ],
      },
    ],
  },
  {
    title: 'Optimizer and memory',
    fields: [
      { path: 'optimizer.beta1', kind: 'number', label: 'β₁' },
      { path: 'optimizer.beta2', kind: 'number', label: 'β₂' },
      { path: 'optimizer.epsilon', kind: 'rate', label: 'ε', text: 'Added to the root of the square.' },
      { path: 'optimizer.weightDecay', kind: 'number', label: 'Weight decay' },
      { path: 'optimizer.maxGradientNorm', kind: 'number', label: 'Largest gradient norm' },
      { path: 'optimizer.floorShare', kind: 'number', label: 'Lowest rate', text: 'As a share of the peak.' },
      { path: 'checkpointEvery', kind: 'count', min: 1, label: 'Steps between checkpoints' },
      { path: 'activationCheckpointing', kind: 'switch', label: 'Compute activations twice to save memory' },
      { path: 'probes', kind: 'switch', label: 'Record the gradient’s variance' },
    ],
  },
];

/** `Warm-up: `, in front of what is wrong there in a stage; '' where no field shows it. */
export function fieldLabel(path: string, stage: TrainStage | undefined): string {
  const fields = [...mainFields, ...advancedFields.flatMap((group) => group.fields)];
  // Objectives may have fields of their own at the same place.
  const field = fields.find((item) => item.path === path && (!stage || (item.isShown?.(stage) ?? true)));
  return field ? `${field.label}: ` : '';
}

/** The value at `path` of a stage. */
export function valueAt(stage: TrainStage, path: string): unknown {
  return path.split('.').reduce<unknown>((value, name) => (value as Record<string, unknown> | undefined)?.[name], stage);
}

/** Sets the value at `path`; undefined takes the field away. */
export function setValueAt(stage: TrainStage, path: string, value: unknown): void {
  const names = path.split('.');
  const last = names.pop()!;
  const parent = names.reduce((node, name) => node[name] as Record<string, unknown>, stage as unknown as Record<string, unknown>);
  if (value === undefined) delete parent[last];
  else parent[last] = value;
}

/** A scheme as it is typed; undefined when it is none. */
export function schemeFrom(text: string) {
  try {
    return parseScheme(text.trim());
  } catch {
    return undefined;
  }
}

/** What a stage's title leaves open: `6,000 steps · rate 1e-6 · maths`. */
export function stageFacts({ steps, optimizer, data }: TrainStage): string {
  const domain = data.domain ?? data.path.split(/[\\/:]/).at(-1)!;
  return [`${steps.toLocaleString('en-US')} steps`, `rate ${optimizer.learningRate}`, domain].filter(Boolean).join(' · ');
}
