/** What each method is and needs, and its options, as the wizard presents them. Numbers come from the schemas. */
import type { QuantizationMethod, StageOf } from '#contract/recipe.ts';
import type { Bits } from '#contract/scheme.ts';

export interface MethodInfo {
  /** Under its name in the list. */
  tagline: string;
  text: string;
  /** What it reads and how long that takes, beside other methods. */
  cost: string;
  /** How schemes are chosen: bits × granularity, or one of a few codings. */
  kind: 'integer' | 'nf4' | 'int8';
  /** Widths that the method is usually used with. */
  usual: { activationBits: Bits | null; kvBits: Bits | null };
  /** Written schemes offered as one click. */
  common: readonly string[];
}

const weightsOnly = { activationBits: null, kvBits: null } as const;
const fourBits = { activationBits: 4, kvBits: 4 } as const;

export const methodInfo: Record<QuantizationMethod, MethodInfo> = {
  rtn: {
    tagline: 'Round to nearest',
    text: 'Rounds every weight to the nearest grid point. The reference that every other method has to beat.',
    cost: 'One pass over the weights',
    kind: 'integer',
    usual: weightsOnly,
    common: ['W8', 'W4G128', 'W3G128', 'W4A4KV4'],
  },
  gptq: {
    tagline: 'Rounds and compensates',
    text: 'Rounds the weights one input at a time and lets the rest make up for each error on calibration text. Strong at low widths.',
    cost: 'A pass over the text and a matrix inverse per linear',
    kind: 'integer',
    usual: weightsOnly,
    common: ['W4G128', 'W3G128', 'W2G32', 'W4A4KV4'],
  },
  awq: {
    tagline: 'Activation-aware scaling',
    text: 'Scales up the weights that meet large activations before rounding, then clips each group’s range where that lowers the error.',
    cost: 'A search over scales and clips per layer',
    kind: 'integer',
    usual: weightsOnly,
    common: ['W4G128', 'W3G128', 'W2G32'],
  },
  nf4: {
    tagline: '4-bit NormalFloat',
    text: 'Sixteen levels placed as normally distributed weights fall, in blocks of 64: bitsandbytes’ 4-bit format, on which QLoRA trains.',
    cost: 'One pass over the weights',
    kind: 'nf4',
    usual: weightsOnly,
    common: [],
  },
  int8: {
    tagline: 'LLM.int8()',
    text: '8-bit weights and activations, except that large activations pass through in float: bitsandbytes’ 8-bit format.',
    cost: 'One pass over the weights',
    kind: 'int8',
    usual: weightsOnly,
    common: [],
  },
  quarot: {
    tagline: 'Hadamard rotations',
    text: 'Rotates weights, activations and cache so that no value stands out, which leaves the model as it is but makes four bits go further.',
    cost: 'GPTQ’s cost; small rotations while the model computes',
    kind: 'integer',
    usual: fourBits,
    common: ['W4A4KV4', 'W4A8KV8', 'W8A8KV8'],
  },
  flatquant: {
    tagline: 'Learned transforms',
    text: 'Trains small transforms and clips for each layer that flatten weights and activations before they are rounded.',
    cost: 'Trains every layer: the slowest',
    kind: 'integer',
    usual: fourBits,
    common: ['W4A4KV4', 'W4A8KV8', 'W8A8KV8'],
  },
};

interface FieldText {
  label: string;
  text?: string;
}
export type OptionField<K extends string = string> =
  | ({ key: K; kind: 'switch' } & FieldText)
  | ({ key: K; kind: 'number'; min: number; max: number; step: number; precision?: number } & FieldText)
  | ({ key: K; kind: 'choice'; choices: { value: string; label: string }[] } & FieldText);

const roundings = [
  { value: 'gptq', label: 'GPTQ' },
  { value: 'rtn', label: 'Nearest' },
];
const rangeSearch = (text: string) => ({ key: 'mseSearch', kind: 'switch', label: 'Range search', text }) as const;
const damping = {
  key: 'dampPercent',
  kind: 'number',
  label: 'Damping',
  text: 'Share of the Hessian’s mean diagonal.',
  min: 0.0001,
  max: 1,
  step: 0.005,
  precision: 4,
} as const;
const blockSize = {
  key: 'blockSize',
  kind: 'number',
  label: 'Block size',
  text: 'Columns updated together.',
  min: 1,
  max: 4096,
  step: 32,
} as const;

export const methodOptions: { [M in QuantizationMethod]: readonly OptionField<keyof StageOf<M>['options'] & string>[] } = {
  rtn: [rangeSearch('Shrinks each group’s range to lower the error. Off is plain rounding.')],
  gptq: [
    rangeSearch('Shrinks each group’s range to lower the error before rounding.'),
    { key: 'actOrder', kind: 'switch', label: 'Activation order', text: 'Quantizes inputs with the largest activations first.' },
    { key: 'staticGroups', kind: 'switch', label: 'Static groups', text: 'Fixes group scales before reordering: groups stay contiguous.' },
    {
      key: 'trueSequential',
      kind: 'switch',
      label: 'True sequential',
      text: 'Linears calibrate on the output of those already quantized.',
    },
    {
      key: 'keepLatents',
      kind: 'switch',
      label: 'Keep latents',
      text: 'Writes the weights before rounding, from which training can start.',
    },
    damping,
    blockSize,
  ],
  awq: [
    {
      key: 'scaling',
      kind: 'choice',
      label: 'Scaling',
      text: 'By activations alone (llm-awq), or by activations and weights (AutoAWQ).',
      choices: [
        { value: 'activation', label: 'Activations' },
        { value: 'duo', label: 'Duo' },
      ],
    },
    { key: 'clip', kind: 'switch', label: 'Clip search', text: 'Clips each group’s range where that lowers the error.' },
  ],
  nf4: [],
  int8: [
    {
      key: 'outlierThreshold',
      kind: 'number',
      label: 'Outlier threshold',
      text: 'Activations of at least this size stay in float.',
      min: 0.1,
      max: 1000,
      step: 0.5,
      precision: 2,
    },
  ],
  quarot: [
    { key: 'weights', kind: 'choice', label: 'Rounding', text: 'How the rotated weights are rounded.', choices: roundings },
    rangeSearch('Shrinks each row’s range to lower the error before rounding.'),
    damping,
    blockSize,
    { key: 'seed', kind: 'number', label: 'Seed', text: 'Of the random signs.', min: 0, max: 2 ** 31, step: 1 },
  ],
  flatquant: [
    { key: 'epochs', kind: 'number', label: 'Epochs', text: 'Over the calibration samples, per layer.', min: 1, max: 1000, step: 1 },
    { key: 'batchSize', kind: 'number', label: 'Batch size', text: 'Samples per step.', min: 1, max: 1024, step: 1 },
    {
      key: 'learningRate',
      kind: 'number',
      label: 'Learning rate',
      text: 'Peak, of the transforms.',
      min: 0.00001,
      max: 1,
      step: 0.001,
      precision: 5,
    },
    {
      key: 'clipRateFactor',
      kind: 'number',
      label: 'Clips learn faster by',
      text: 'Times the learning rate.',
      min: 0.1,
      max: 1000,
      step: 1,
      precision: 1,
    },
    { key: 'alpha', kind: 'number', label: 'Diagonal exponent', text: 'Of the initial scaling.', min: 0, max: 1, step: 0.05, precision: 2 },
    {
      key: 'parameterisation',
      kind: 'choice',
      label: 'Transform',
      text: 'Trained as the matrix itself, or as two rotations and a diagonal.',
      choices: [
        { value: 'direct', label: 'Direct' },
        { value: 'svd', label: 'SVD' },
      ],
    },
    { key: 'weights', kind: 'choice', label: 'Rounding', text: 'How the transformed weights are rounded.', choices: roundings },
    { key: 'seed', kind: 'number', label: 'Seed', text: 'Of the random starts.', min: 0, max: 2 ** 31, step: 1 },
  ],
};
