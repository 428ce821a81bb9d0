/**
 * The options of `train` that describe the stage: one table, from which the help is made, the stage is built, and an option that does not
 * belong to the chosen objective or to what is trained is refused by name. Defaults depend on both; the help says where they come from.
 */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { parseScheme } from '#contract/scheme.ts';
import { attentionLinearNames, linearNames, type Trains } from '#contract/training.ts';
import { type ObjectiveChoice, objectiveChoices } from '#contract/training-defaults.ts';
import { decimal, positiveWholeNumber, wholeNumber } from './options.ts';

/** What was given on the command line; nothing that was left out. */
export interface TrainFlags {
  recipe?: string;
  objective?: ObjectiveChoice;
  trains?: Trains['kind'];
  data?: string;
  evaluateEvery?: number;
  evaluateProblems?: number;
  [flag: string]: unknown;
}

export interface TrainFlag {
  /** As in `--steps <n>`. */
  flags: string;
  group: string;
  help: string;
  /** Where the value goes in a stage, as in `optimizer.learningRate`. */
  path: string;
  objectives?: readonly ObjectiveChoice[];
  trains?: readonly Trains['kind'][];
  parse?: (text: string) => unknown;
  choices?: readonly string[];
}

export const trainKinds = ['weights', 'quantized', 'lora', 'flatquant'] as const satisfies readonly Trains['kind'][];

const rl: readonly ObjectiveChoice[] = ['grpo', 'dr-grpo', 'rloo'];
const examplesOnly: readonly ObjectiveChoice[] = ['sft', 'kd'];

type Row = [flags: string, path: string, help: string, more?: Partial<TrainFlag>];

function rows(group: string, list: readonly Row[], belongs: Partial<TrainFlag> = {}): TrainFlag[] {
  return list.map(([flags, path, help, more]) => ({ flags, path, help, group, ...belongs, ...more }));
}

function modules(text: string): readonly string[] {
  if (text === 'all') return linearNames;
  return text === 'attention' ? attentionLinearNames : text.split(',').map((name) => name.trim());
}

/** `100` is a step, `100-300` a ramp. */
function quantizationStart(text: string): unknown {
  const [, first, last] = /^(\d+)(?:-(\d+))?$/.exec(text) ?? [];
  if (first === undefined) throw new InvalidArgumentError('Give a step as 100, or a ramp as 100-300.');
  if (last !== undefined) return { kind: 'ramp', from: Number(first), to: Number(last) };
  return first === '0' ? { kind: 'begin' } : { kind: 'step', step: Number(first) };
}

const count = { parse: positiveWholeNumber };
const number = { parse: decimal };

export const trainFlags: readonly TrainFlag[] = [
  ...rows('Data:', [
    ['--domain <name>', 'data.domain', 'what the data is about, for the record (default: name of the file)'],
    ['--limit <n>', 'data.limit', 'first N rows (default: all)', count],
    ['--max-tokens <n>', 'data.maxTokens', 'longer examples (for RL: prompts) are left out', count],
    ['--template <text>', 'data.promptTemplate', 'prompt with {question} in it (default: the question alone)'],
  ]),
  ...rows('Steps:', [
    ['--steps <n>', 'steps', 'optimizer steps', count],
    ['--batch-size <n>', 'batchSize', 'sequences per micro-batch', count],
    ['--accumulation <n>', 'accumulation', 'micro-batches per step (sft, kd)', { ...count, objectives: examplesOnly }],
    [
      '--batching <kind>',
      'batching',
      'which sequences share a micro-batch (sft, kd)',
      {
        choices: ['length', 'packing', 'random'],
        objectives: examplesOnly,
      },
    ],
    ['--checkpoint-every <n>', 'checkpointEvery', 'steps between checkpoints, from which the same command goes on', count],
    ['--activation-checkpointing', 'activationCheckpointing', 'compute activations twice instead of keeping them'],
    ['--no-activation-checkpointing', 'activationCheckpointing', 'keep them (default for small models)'],
    ['--probes', 'probes', 'record the gradient’s variance across micro-batches at every step'],
  ]),
  ...rows('Optimizer (AdamW):', [
    ['--learning-rate <rate>', 'optimizer.learningRate', 'peak rate', number],
    ['--schedule <kind>', 'optimizer.schedule', 'decay after warm-up', { choices: ['constant', 'linear', 'cosine'] }],
    ['--warmup <n>', 'optimizer.warmupSteps', 'steps until the peak', { parse: wholeNumber }],
    ['--floor <share>', 'optimizer.floorShare', 'where the decay ends, as a share of the peak', number],
    ['--beta1 <x>', 'optimizer.beta1', 'decay of the mean', number],
    ['--beta2 <x>', 'optimizer.beta2', 'decay of the square', number],
    ['--epsilon <x>', 'optimizer.epsilon', 'added to the root of the square', number],
    ['--weight-decay <x>', 'optimizer.weightDecay', 'decoupled decay of matrices', number],
    ['--max-gradient-norm <x>', 'optimizer.maxGradientNorm', 'larger gradients are scaled down to it', number],
  ]),
  ...rows(
    'Distillation (kd):',
    [
      ['--teacher <model>', 'objective.teacher', 'teacher’s folder (default: the model itself, before its quantization)'],
      [
        '--direction <kind>',
        'objective.direction',
        'KL(teacher‖student), KL(student‖teacher), or both',
        { choices: ['forward', 'reverse', 'mixed'] },
      ],
      ['--mix <share>', 'objective.mix', 'share of reverse KL in --direction mixed', number],
      ['--kd-temperature <t>', 'objective.temperature', 'softens both distributions', number],
      ['--teacher-top-k <k>', 'objective.topK', 'only the teacher’s most probable tokens', count],
      ['--cache-teacher', 'objective.cacheTeacher', 'keep the teacher’s top-k logits on disk for later epochs'],
    ],
    { objectives: ['kd'] },
  ),
  ...rows(
    'RL (grpo, dr-grpo, rloo):',
    [
      ['--prompts-per-step <n>', 'objective.promptsPerStep', 'prompts of each rollout', count],
      ['--group-size <n>', 'objective.groupSize', 'completions per prompt', count],
      ['--updates-per-rollout <n>', 'objective.updatesPerRollout', 'optimizer steps per rollout', count],
      ['--max-new-tokens <n>', 'objective.maxNewTokens', 'token limit of a completion', count],
      ['--temperature <t>', 'objective.temperature', 'of sampling', number],
      ['--top-p <p>', 'objective.topP', 'of sampling', number],
      ['--top-k <k>', 'objective.topK', 'of sampling; 0 for all tokens', { parse: wholeNumber }],
      ['--beta <x>', 'objective.beta', 'weight of the KL to the model at the start', number],
      ['--clip-low <x>', 'objective.clipLow', 'how far a token may become less probable', number],
      ['--clip-high <x>', 'objective.clipHigh', 'how far it may become more probable', number],
      ['--loss-type <kind>', 'objective.lossType', 'how token losses are averaged', { choices: ['grpo', 'bnpo', 'dapo', 'dr-grpo'] }],
      ['--scale-rewards <by>', 'objective.scaleRewards', 'divide advantages by this deviation', { choices: ['group', 'batch', 'none'] }],
      ['--format-reward <x>', 'objective.reward.format', 'when an answer can be extracted', number],
      ['--correct-reward <x>', 'objective.reward.correct', 'more when it is right', number],
      ['--truncated-reward <x>', 'objective.reward.truncated', 'instead of both for completions cut by the limit', number],
      ['--mask-truncated', 'objective.maskTruncated', 'completions cut by the limit do not count'],
      ['--rollout-scheme <scheme>', 'objective.rolloutScheme', 'sample from a copy rounded to nearest', { parse: parseScheme }],
      [
        '--importance <kind>',
        'objective.importance.kind',
        'correction for a sampler that differs from the learner',
        { choices: ['none', 'token-truncate', 'sequence-mask'] },
      ],
      ['--importance-cap <x>', 'objective.importance.cap', 'largest ratio of learner to sampler', number],
    ],
    { objectives: rl },
  ),
  ...rows(
    'Quantized weights (--trains quantized):',
    [
      ['--scheme <scheme>', 'trains.scheme', 'needed unless the model is quantized already; as W3G128', { parse: parseScheme }],
      ['--frozen-scales', 'trains.scales', 'keep the scales of the quantized model instead of following the weights'],
      ['--per-tensor', 'trains.perTensor', 'one scale per matrix'],
      ['--freeze-others', 'trains.others', 'leave embeddings, norms and head as they are'],
      [
        '--quantize-from <step>',
        'quantizationStart',
        'begin at this step, or ramp as 100-300 (default: at once)',
        { parse: quantizationStart },
      ],
    ],
    { trains: ['quantized'] },
  ),
  ...rows('Which linears (--trains quantized, lora):', [
    ['--modules <list>', 'trains.modules', 'all, attention, or names as q_proj,v_proj', { parse: modules, trains: ['quantized', 'lora'] }],
  ]),
  ...rows(
    'LoRA (--trains lora):',
    [
      ['--rank <r>', 'trains.rank', 'of the updates', count],
      ['--alpha <x>', 'trains.alpha', 'updates are scaled by alpha / rank', number],
      ['--dropout <share>', 'trains.dropout', 'of the inputs', number],
    ],
    { trains: ['lora'] },
  ),
  ...rows(
    'FlatQuant (--trains flatquant):',
    [
      ['--transform-rate <rate>', 'trains.transformRate', 'peak rate of transforms', number],
      ['--clip-rate <rate>', 'trains.clipRate', 'peak rate of clip factors', number],
    ],
    { trains: ['flatquant'] },
  ),
];

/** Switches that stand for a word. */
export const switchValues: Record<string, unknown> = { frozenScales: 'frozen', freezeOthers: 'frozen' };

/** The name commander stores an option's value under. */
export function nameOf({ flags }: Pick<TrainFlag, 'flags'>): string {
  return new Option(flags).attributeName();
}

/** `--steps` of `--steps <n>`. */
export function longOf({ flags }: Pick<TrainFlag, 'flags'>): string {
  return flags.split(' ')[0]!;
}

export function addTrainFlags(command: Command): void {
  const general = [
    new Option('--recipe <file>', 'a train stage, or a recipe whose stages train and quantize, as JSON'),
    new Option('--objective <name>', 'what is learnt').choices(objectiveChoices),
    new Option('--trains <what>', 'what is trained').choices(trainKinds).default('weights'),
    new Option('--data <file>', 'rows with a prompt and a completion (sft, kd), or with a problem and its answer (RL); .jsonl or .parquet'),
  ];
  for (const option of general) command.addOption(option.helpGroup('What is trained, and on what:'));
  for (const flag of trainFlags) {
    const option = new Option(flag.flags, flag.help).helpGroup(flag.group);
    if (flag.choices) option.choices([...flag.choices]);
    if (flag.parse) option.argParser(flag.parse);
    command.addOption(option);
  }
}

/** Only what was typed: a default is no wish. */
export function givenFlags(command: Command): TrainFlags {
  const given = Object.entries(command.opts()).filter(([name]) => command.getOptionValueSource(name) === 'cli');
  return Object.fromEntries(given) as TrainFlags;
}

/** The options that were typed, with `--no-…` where that was said. */
export function typed(flags: TrainFlags): TrainFlag[] {
  return trainFlags.filter((flag) => {
    const value = flags[nameOf(flag)];
    return typeof value === 'boolean' ? value !== longOf(flag).startsWith('--no-') : value !== undefined;
  });
}
