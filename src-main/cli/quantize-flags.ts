/**
 * The options of `quantize` that describe the stage, by method: one table, from which the help is made, the stage is built and an option
 * that does not belong to the chosen method is refused by name. Defaults are those of the recipe's schemas.
 */
import { type Command, Option } from 'commander';
import {
  awqOptionsSchema,
  flatquantOptionsSchema,
  gptqOptionsSchema,
  int8OptionsSchema,
  type QuantizationMethod,
  quantizationMethods,
  solutionsSchema,
} from '#contract/recipe.ts';
import { decimal, positiveWholeNumber, wholeNumber } from './options.ts';

/** What was given on the command line; nothing that was left out. */
export interface QuantizeFlags {
  method: QuantizationMethod;
  scheme?: string;
  overrides?: string;
  mixedBudget?: number;
  mixedSchemes?: string;
  mixedGranularity?: string;
  calibration?: string;
  solutions?: string;
  domain?: string;
  samples?: number;
  sequenceLength?: number;
  seed?: number;
  spill?: boolean;
  [flag: string]: unknown;
}

export interface QuantizeFlag {
  /** As in `--damp <share>`. */
  flags: string;
  group: string;
  help: string;
  methods: readonly QuantizationMethod[];
  /** Where the value goes in a stage, as in `options.dampPercent`. */
  path: string;
  parse?: (text: string) => unknown;
  choices?: readonly string[];
  /** Shown in the help. */
  usual?: unknown;
}

/** Where a calibrating method's text is cut, unless it says otherwise. */
export const usualText = { samples: 128, sequenceLength: 512, seed: 0 };

/** What a mix is chosen from, unless it says otherwise; NF4 has candidates of its own. */
export const usualCandidates = 'W2G128,W3G128,W4G128,W8G128';

const gptq = gptqOptionsSchema.parse({});
const flatquant = flatquantOptionsSchema.parse({});
const solutions = solutionsSchema.parse({});
const all = quantizationMethods;
const calibrating: QuantizationMethod[] = ['gptq', 'awq', 'quarot', 'flatquant'];
/** INT8 has a single scheme, which leaves nothing to mix. */
const mixable = all.filter((method) => method !== 'int8');

const groups = {
  scheme: 'Scheme:',
  text: 'Calibration text (gptq, awq, flatquant, quarot with --weights gptq, and --mixed-budget):',
  rounding: 'Rounding (the methods that an option belongs to are in front):',
  memory: 'Memory:',
};

type Row = [flags: string, path: string, methods: readonly QuantizationMethod[], help: string, more?: Partial<QuantizeFlag>];

function rows(group: string, list: readonly Row[]): QuantizeFlag[] {
  return list.map(([flags, path, methods, help, more]) => ({ flags, path, methods, help, group, ...more }));
}

export const quantizeFlags: readonly QuantizeFlag[] = [
  ...rows(groups.scheme, [
    ['--scheme <scheme>', 'scheme', all, 'W<bits>[G<group>][A<bits>][KV<bits>][:sym|:asym], NF4[:double] or INT8; as W3G128 or W4A4KV4'],
    [
      '--overrides <file>',
      'overrides',
      all,
      'other schemes for single modules: JSON as `sensitivity --out` writes it; its scheme may stand for --scheme',
    ],
    [
      '--mixed-budget <bits>',
      'mixed.budgetBits',
      mixable,
      'choose the scheme of each layer by sensitivity, within these bits per weight',
      { parse: decimal },
    ],
    ['--mixed-schemes <list>', 'mixed.candidates', mixable, 'candidates of --mixed-budget', { usual: usualCandidates }],
    [
      '--mixed-granularity <unit>',
      'mixed.granularity',
      mixable,
      'units of --mixed-budget',
      { choices: ['layer', 'module'], usual: 'layer' },
    ],
  ]),
  ...rows(groups.text, [
    ['--calibration <file>', 'calibration.path', all, 'text to calibrate on (.jsonl, .parquet or .txt)'],
    ['--solutions <problems>', 'calibration.path', all, 'instead, what the model itself writes for these problems (.jsonl or .parquet)'],
    [
      '--solutions-problems <n>',
      'calibration.solutions.problems',
      all,
      'problems to solve',
      { parse: positiveWholeNumber, usual: solutions.problems },
    ],
    [
      '--solutions-temperature <t>',
      'calibration.solutions.temperature',
      all,
      'sampling temperature, 0 is greedy',
      { parse: decimal, usual: solutions.temperature },
    ],
    [
      '--solutions-max-new-tokens <n>',
      'calibration.solutions.maxNewTokens',
      all,
      'token limit of a solution',
      { parse: positiveWholeNumber, usual: solutions.maxNewTokens },
    ],
    ['--domain <name>', 'calibration.domain', all, 'what the text is about, for the record (default: name of the file)'],
    ['--samples <n>', 'calibration.samples', all, 'calibration samples', { parse: positiveWholeNumber, usual: usualText.samples }],
    [
      '--sequence-length <n>',
      'calibration.sequenceLength',
      all,
      'tokens per sample',
      { parse: positiveWholeNumber, usual: usualText.sequenceLength },
    ],
    ['--seed <n>', 'calibration.seed', all, 'order of documents, or sampling of solutions', { parse: wholeNumber, usual: usualText.seed }],
  ]),
  ...rows(groups.rounding, [
    ['--mse-search', 'options.mseSearch', ['rtn', 'gptq', 'quarot'], 'search a shrunken range per group (default for gptq and quarot)'],
    ['--no-mse-search', 'options.mseSearch', ['rtn', 'gptq', 'quarot'], 'keep the full range of each group (default for rtn)'],
    [
      '--damp <share>',
      'options.dampPercent',
      ['gptq', 'quarot'],
      'damping, as a share of the mean of the Hessian’s diagonal',
      { parse: decimal, usual: gptq.dampPercent },
    ],
    [
      '--block-size <n>',
      'options.blockSize',
      ['gptq', 'quarot'],
      'columns between updates of all later ones',
      { parse: positiveWholeNumber, usual: gptq.blockSize },
    ],
    ['--act-order', 'options.actOrder', ['gptq'], 'columns with the largest activations first'],
    ['--static-groups', 'options.staticGroups', ['gptq'], 'fix the grids of all groups beforehand'],
    ['--no-true-sequential', 'options.trueSequential', ['gptq'], 'calibrate all linears of a layer at once'],
    ['--keep-latents', 'options.keepLatents', ['gptq'], 'also write the compensated weights before rounding (latents.safetensors)'],
    [
      '--scaling <kind>',
      'options.scaling',
      ['awq'],
      'scale by activations, or by activations and weights',
      { choices: awqOptionsSchema.shape.scaling.unwrap().options, usual: 'activation' },
    ],
    ['--no-clip', 'options.clip', ['awq'], 'do not search a clipped range per group'],
    [
      '--outlier-threshold <x>',
      'options.outlierThreshold',
      ['int8'],
      'activations of at least this magnitude stay in float',
      { parse: decimal, usual: int8OptionsSchema.parse({}).outlierThreshold },
    ],
    [
      '--weights <method>',
      'options.weights',
      ['quarot', 'flatquant'],
      'how the transformed weights are rounded (default: gptq for quarot, rtn for flatquant)',
      { choices: ['gptq', 'rtn'] },
    ],
    [
      '--rotation-seed <n>',
      'options.seed',
      ['quarot', 'flatquant'],
      'seed of the random rotations',
      { parse: wholeNumber, usual: flatquant.seed },
    ],
    [
      '--epochs <n>',
      'options.epochs',
      ['flatquant'],
      'passes over the samples, per layer',
      { parse: positiveWholeNumber, usual: flatquant.epochs },
    ],
    [
      '--batch-size <n>',
      'options.batchSize',
      ['flatquant'],
      'samples per step',
      { parse: positiveWholeNumber, usual: flatquant.batchSize },
    ],
    [
      '--learning-rate <rate>',
      'options.learningRate',
      ['flatquant'],
      'peak rate of the transforms',
      { parse: decimal, usual: flatquant.learningRate },
    ],
    [
      '--clip-rate-factor <x>',
      'options.clipRateFactor',
      ['flatquant'],
      'how many times as fast clip factors learn',
      { parse: decimal, usual: flatquant.clipRateFactor },
    ],
    ['--alpha <x>', 'options.alpha', ['flatquant'], 'exponent of the scaling’s start, 0 to 1', { parse: decimal, usual: flatquant.alpha }],
    [
      '--parameterisation <kind>',
      'options.parameterisation',
      ['flatquant'],
      'train each matrix itself, or its factors',
      { choices: ['direct', 'svd'], usual: flatquant.parameterisation },
    ],
    [
      '--activation-clip <ratio>',
      'activationClip',
      ['rtn', 'gptq', 'awq', 'quarot'],
      'shrink the range of each token by this (default: 0.9 for quarot, else 1)',
      { parse: decimal },
    ],
    [
      '--kv-clip <ratio>',
      'kvClip',
      all.filter((method) => method !== 'flatquant'),
      'shrink the range of each key and value by this (default: 0.95 for quarot, else 1)',
      { parse: decimal },
    ],
  ]),
  ...rows(groups.memory, [
    ['--spill', 'spillActivations', calibrating, 'keep the calibration’s hidden states on disk instead of in memory'],
  ]),
];

/** The name commander stores an option's value under. */
export function nameOf({ flags }: QuantizeFlag): string {
  return new Option(flags).attributeName();
}

/** `--damp` of `--damp <share>`. */
export function longOf({ flags }: QuantizeFlag): string {
  return flags.split(' ')[0]!;
}

export function addQuantizeFlags(command: Command): void {
  for (const flag of quantizeFlags) {
    const isGeneral = flag.methods.length === all.length;
    const option = new Option(flag.flags, `${isGeneral ? '' : `${flag.methods.join(', ')}: `}${flag.help}`).helpGroup(flag.group);
    if (flag.choices) option.choices([...flag.choices]);
    if (flag.parse) option.argParser(flag.parse);
    if (flag.usual !== undefined) option.default(flag.usual);
    command.addOption(option);
  }
}

/** Only what was typed: a default is no wish. */
export function givenFlags(command: Command): QuantizeFlags {
  const given = Object.entries(command.opts()).filter(([name]) => command.getOptionValueSource(name) === 'cli');
  return Object.fromEntries(given) as QuantizeFlags;
}
