/**
 * The options of `quantize` and the stage they stand for. Every option belongs to some methods; one given to another method is refused by
 * name. Defaults are those of the recipe, so that the command line, recipes and the workbench mean the same.
 */
import { readFile } from 'node:fs/promises';
import { type Command, Option } from 'commander';
import { z } from 'zod';
import { RoundoffError } from '#contract/errors.ts';
import {
  methodTitle,
  type QuantizationMethod,
  type QuantizeStage,
  quantizationMethods,
  quantizeStageSchema,
  schemeOverrideSchema,
} from '#contract/recipe.ts';
import { parseScheme, quantizationSchemeSchema } from '#contract/scheme.ts';
import { decimal, positiveWholeNumber, userPath, wholeNumber } from './options.ts';

/** Options that go into `stage.options`, by their name there: the flag, and the methods that take it. */
const methodOptions = {
  mseSearch: { flag: '--mse-search / --no-mse-search', methods: ['rtn', 'gptq', 'quarot'] },
  dampPercent: { flag: '--damp', methods: ['gptq', 'quarot'] },
  blockSize: { flag: '--block-size', methods: ['gptq', 'quarot'] },
  actOrder: { flag: '--act-order', methods: ['gptq'] },
  staticGroups: { flag: '--static-groups', methods: ['gptq'] },
  trueSequential: { flag: '--no-true-sequential', methods: ['gptq'] },
  keepLatents: { flag: '--keep-latents', methods: ['gptq'] },
  scaling: { flag: '--scaling', methods: ['awq'] },
  clip: { flag: '--no-clip', methods: ['awq'] },
  outlierThreshold: { flag: '--outlier-threshold', methods: ['int8'] },
  weights: { flag: '--weights', methods: ['quarot', 'flatquant'] },
  seed: { flag: '--transform-seed', methods: ['quarot', 'flatquant'] },
  epochs: { flag: '--epochs', methods: ['flatquant'] },
  batchSize: { flag: '--batch-size', methods: ['flatquant'] },
  learningRate: { flag: '--learning-rate', methods: ['flatquant'] },
  alpha: { flag: '--alpha', methods: ['flatquant'] },
  parameterisation: { flag: '--parameterisation', methods: ['flatquant'] },
} as const satisfies Record<string, { flag: string; methods: readonly QuantizationMethod[] }>;

type MethodOption = keyof typeof methodOptions;
/** Where the command line calls an option otherwise. */
const flagNames: Partial<Record<MethodOption, keyof StageOptions>> = { seed: 'transformSeed', dampPercent: 'damp' };

export interface StageOptions extends Partial<Record<Exclude<MethodOption, 'seed' | 'dampPercent'>, unknown>> {
  method: QuantizationMethod;
  scheme?: string;
  overrides?: string;
  mixedBudget?: number;
  mixedSchemes: string;
  mixedGranularity: string;
  calibration?: string;
  solutions?: string;
  solutionsProblems?: number;
  solutionsMaxNewTokens?: number;
  solutionsTemperature?: number;
  domain?: string;
  samples: number;
  sequenceLength: number;
  /** Order of calibration documents. */
  seed: number;
  transformSeed?: number;
  damp?: number;
  activationClip?: number;
  kvClip?: number;
  spill?: boolean;
}

/** Declares the options on `command`. None has a default that a method would not take. */
export function addStageOptions(command: Command): Command {
  return command
    .addOption(new Option('--method <name>', 'how the codes are chosen').choices(quantizationMethods).makeOptionMandatory())
    .option('--scheme <scheme>', 'W<bits>[G<group>][A<bits>][KV<bits>][:sym|:asym], NF4[:double] or INT8; for example W3G128 or W4A4KV4')
    .option('--overrides <file>', 'mixed precision: scheme and overrides as "sensitivity --out" writes them')
    .option('--mixed-budget <bits>', 'mixed precision by a sensitivity scan: bits per weight in all', decimal)
    .option('--mixed-schemes <list>', 'candidates of the scan, separated by commas', 'W2G128,W3G128,W4G128,W8G128')
    .addOption(new Option('--mixed-granularity <unit>', 'what gets a scheme of its own').choices(['layer', 'module']).default('layer'))
    .option('--calibration <file>', 'calibration text (.jsonl, .parquet or .txt), needed by gptq, awq, quarot and flatquant')
    .option('--solutions <file>', 'problems whose solutions by the model itself are the calibration text, instead of --calibration')
    .option('--solutions-problems <n>', 'problems to solve', positiveWholeNumber)
    .option('--solutions-max-new-tokens <n>', 'token limit of a solution', positiveWholeNumber)
    .option('--solutions-temperature <t>', 'sampling temperature of solutions', decimal)
    .option('--domain <text>', 'what the calibration text is about, for the record')
    .option('--samples <n>', 'calibration samples', positiveWholeNumber, 128)
    .option('--sequence-length <n>', 'tokens per calibration sample', positiveWholeNumber, 512)
    .option('--seed <n>', 'order of calibration documents', wholeNumber, 0)
    .option('--spill', "keep the calibration's hidden states on disk instead of in memory")
    .option('--activation-clip <ratio>', 'ratio of a token’s range that is kept (quarot: 0.9, others: 1)', decimal)
    .option('--kv-clip <ratio>', 'the same for keys and values (quarot: 0.95, others: 1)', decimal)
    .option('--mse-search', 'rtn, gptq, quarot: search a shrunken range per group (default for gptq and quarot)')
    .option('--no-mse-search', 'rtn, gptq, quarot: keep the full range of each group')
    .option('--damp <share>', 'gptq, quarot: damping, as a share of the mean of the Hessian’s diagonal', decimal)
    .option('--block-size <n>', 'gptq, quarot: inputs whose errors are spread together', positiveWholeNumber)
    .option('--act-order', 'gptq: columns with the largest activations first')
    .option('--static-groups', 'gptq: fix the grids of all groups beforehand')
    .option('--no-true-sequential', 'gptq: capture the inputs of a layer at once')
    .option('--keep-latents', 'gptq: also write the compensated weights before rounding')
    .addOption(new Option('--scaling <kind>', 'awq: what decides the scales').choices(['activation', 'duo']))
    .option('--no-clip', 'awq: keep the full range of each group after scaling')
    .option('--outlier-threshold <x>', 'int8: activations of at least this magnitude stay in float', decimal)
    .addOption(new Option('--weights <how>', 'quarot, flatquant: how the transformed weights are rounded').choices(['gptq', 'rtn']))
    .option('--transform-seed <n>', 'quarot, flatquant: seed of signs and starts', wholeNumber)
    .option('--epochs <n>', 'flatquant: passes over the samples per layer', positiveWholeNumber)
    .option('--batch-size <n>', 'flatquant: samples per step', positiveWholeNumber)
    .option('--learning-rate <x>', 'flatquant: peak rate of the transforms', decimal)
    .option('--alpha <x>', 'flatquant: exponent of the initial scaling per channel', decimal)
    .addOption(new Option('--parameterisation <kind>', 'flatquant: how transforms are trained').choices(['direct', 'svd']));
}

/** The stage. `given` tells whether the user wrote an option. Throws `bad-input` naming what is missing or does not belong to the method. */
export async function stageFrom(options: StageOptions, given: (name: string) => boolean, resourcesDir: string): Promise<QuantizeStage> {
  const { method } = options;
  const chosen: Record<string, unknown> = {};
  for (const [name, { flag, methods }] of Object.entries(methodOptions) as [MethodOption, (typeof methodOptions)[MethodOption]][]) {
    const source = flagNames[name] ?? name;
    if (!given(source)) continue;
    if (!(methods as readonly string[]).includes(method)) {
      throw bad(
        `${flag} belongs to ${methods.map(methodTitle).join(', ')}, not to ${methodTitle(method)}.`,
        'Leave it out, or choose one of these methods.',
      );
    }
    chosen[name] = options[source as keyof StageOptions];
  }
  const read = options.overrides === undefined ? null : await readOverrides(userPath(options.overrides, resourcesDir));
  const text = options.scheme ?? (options.mixedBudget === undefined ? undefined : options.mixedSchemes.split(',')[0]);
  const scheme = text === undefined ? read?.scheme : parseScheme(text);
  if (!scheme)
    throw bad('There is no scheme.', 'Give it with --scheme, for example --scheme W4G128, or with --overrides or --mixed-budget.');
  const calibration = calibrationFrom(options, resourcesDir);
  const needsText = !['rtn', 'nf4', 'int8'].includes(method);
  if (needsText && !calibration) {
    throw bad(
      `${methodTitle(method)} (--method ${method}) needs calibration text.`,
      'Give it with --calibration FILE, for example sample:calibration/abacus.jsonl, or with --solutions FILE.',
    );
  }
  if (options.mixedBudget !== undefined && !calibration) {
    throw bad('--mixed-budget measures on calibration text, and there is none.', 'Give it with --calibration FILE.');
  }
  const candidates = options.mixedSchemes.split(',');
  const mixed = {
    budgetBits: options.mixedBudget,
    candidates: candidates.map(parseScheme),
    granularity: options.mixedGranularity,
    calibration,
  };
  const parsed = quantizeStageSchema.safeParse({
    type: 'quantize',
    method,
    scheme,
    options: chosen,
    ...(needsText ? { calibration } : {}),
    ...(read ? { overrides: read.overrides } : {}),
    ...(options.mixedBudget === undefined ? {} : { mixed }),
    ...(options.activationClip === undefined ? {} : { activationClip: options.activationClip }),
    ...(options.kvClip === undefined ? {} : { kvClip: options.kvClip }),
    ...(options.spill ? { spillActivations: true } : {}),
  });
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`);
  throw new RoundoffError('bad-input', `${methodTitle(method)}: ${problems[0]}.`, 'Correct the option; --help shows what it takes.', {
    problems,
  });
}

function calibrationFrom(options: StageOptions, resourcesDir: string) {
  const { calibration, solutions, samples, sequenceLength, seed, domain } = options;
  if (calibration !== undefined && solutions !== undefined) {
    throw bad('--calibration and --solutions are two sources of one text.', 'Give one of them.');
  }
  const file = calibration ?? solutions;
  if (file === undefined) return null;
  const sampling = {
    ...(options.solutionsProblems === undefined ? {} : { problems: options.solutionsProblems }),
    ...(options.solutionsMaxNewTokens === undefined ? {} : { maxNewTokens: options.solutionsMaxNewTokens }),
    ...(options.solutionsTemperature === undefined ? {} : { temperature: options.solutionsTemperature }),
  };
  return {
    path: userPath(file, resourcesDir),
    samples,
    sequenceLength,
    seed,
    ...(domain === undefined ? {} : { domain }),
    ...(solutions === undefined ? {} : { solutions: sampling }),
  };
}

const overridesFile = z.strictObject({ scheme: quantizationSchemeSchema.optional(), overrides: z.array(schemeOverrideSchema) });

async function readOverrides(path: string) {
  let json: unknown;
  try {
    json = JSON.parse(await readFile(path, 'utf8'));
  } catch (error) {
    throw bad(`${path} cannot be read as JSON: ${(error as Error).message}`, 'Give a file as "sensitivity --out" writes it.');
  }
  const parsed = overridesFile.safeParse(json);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw bad(`${path}: ${issue!.path.join('.') || '(top)'}: ${issue!.message}`, 'Give a file as "sensitivity --out" writes it.');
}

function bad(message: string, hint: string): RoundoffError {
  return new RoundoffError('bad-input', message, hint);
}
