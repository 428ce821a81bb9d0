import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import type { RoundoffError } from '#contract/errors.ts';
import { trainStageSchema } from '#contract/training.ts';
import { floatModel, type ModelState, quantizedModel } from '#contract/training-chain.ts';
import { addTrainFlags, givenFlags, longOf, trainFlags } from '../../../src-main/cli/train-flags.ts';
import { trainingStages } from '../../../src-main/cli/train-stage-options.ts';
import { resourcesDir } from '../../support/study-run.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';

const folder = temporaryFolder('train-options');
const data = ['--data', '/d.jsonl'];

async function stages(args: string[], start: ModelState = floatModel) {
  const command = new Command('train').exitOverride().configureOutput({ writeErr: () => undefined });
  addTrainFlags(command);
  command.option('--evaluate-every <n>', '', Number).option('--evaluate-problems <n>', '', Number);
  command.parse(args, { from: 'user' });
  return trainingStages(givenFlags(command), { resourcesDir, parameters: 850_000, start });
}
const stage = async (args: string[], start?: ModelState) => (await stages(args, start))[0]!;
const failure = (args: string[], start?: ModelState): Promise<RoundoffError> =>
  stages(args, start).then(
    () => Promise.reject(new Error('nothing was thrown')),
    (error: RoundoffError) => error,
  );
const write = (name: string, value: unknown) => {
  const file = path.join(folder, name);
  mkdirSync(folder, { recursive: true });
  writeFileSync(file, JSON.stringify(value));
  return file;
};

describe('the options of train', () => {
  it('name a place in the stage each, without a second one for the same', () => {
    const paths = trainFlags
      .filter((flag) => !longOf(flag).startsWith('--no-'))
      .map(({ path: at, objectives = [] }) => `${objectives[0] ?? ''} ${at}`);
    expect(new Set(paths).size).toBe(paths.length);
  });

  it('make a stage with the usual settings of the objective', async () => {
    expect(await stage(['--objective', 'sft', ...data])).toMatchObject({
      objective: { kind: 'sft' },
      trains: { kind: 'weights' },
      data: { path: '/d.jsonl' },
    });
    expect(await stage(['--objective', 'grpo', ...data])).toMatchObject({
      objective: { kind: 'rl', scaleRewards: 'group', lossType: 'grpo' },
    });
    expect(await stage(['--objective', 'dr-grpo', ...data])).toMatchObject({
      objective: { kind: 'rl', scaleRewards: 'none', lossType: 'dr-grpo' },
    });
    expect(await stage(['--objective', 'rloo', ...data])).toMatchObject({ objective: { kind: 'rl', advantage: 'rloo' } });
    expect(await stage(['--objective', 'kd', '--trains', 'quantized', '--scheme', 'W3G128', ...data])).toMatchObject({
      trains: { kind: 'quantized', scheme: { bits: 3, groupSize: 128 } },
    });
    expect(await stage(['--objective', 'kd', '--trains', 'quantized', ...data], quantizedModel)).not.toHaveProperty('trains.scheme');
    expect(await stage(['--objective', 'sft', '--steps', '3', ...data])).toMatchObject({ steps: 3, optimizer: { warmupSteps: 2 } });
  });

  it('reach every setting they name', async () => {
    const made = await stage(
      [
        ...[
          '--objective',
          'kd',
          '--trains',
          'quantized',
          '--scheme',
          'W2G32',
          ...data,
          '--steps',
          '50',
          '--batch-size',
          '4',
          '--accumulation',
          '2',
        ],
        ...[
          '--batching',
          'random',
          '--learning-rate',
          '1e-4',
          '--schedule',
          'linear',
          '--warmup',
          '5',
          '--beta2',
          '0.99',
          '--max-tokens',
          '99',
        ],
        ...['--direction', 'mixed', '--mix', '0.3', '--kd-temperature', '2', '--teacher', '/t', '--frozen-scales', '--freeze-others'],
        ...[
          '--modules',
          'attention',
          '--quantize-from',
          '10-20',
          '--evaluate-every',
          '5',
          '--domain',
          'sums',
          '--probes',
          '--template',
          'Q: {question}',
        ],
      ],
      quantizedModel,
    );
    expect(made).toEqual(
      trainStageSchema.parse({
        type: 'train',
        objective: { kind: 'kd', direction: 'mixed', mix: 0.3, temperature: 2, teacher: '/t' },
        trains: {
          ...{
            kind: 'quantized',
            scheme: { bits: 2, symmetric: false, strategy: 'group', groupSize: 32 },
            scales: 'frozen',
            others: 'frozen',
          },
          modules: ['q_proj', 'k_proj', 'v_proj', 'o_proj'],
        },
        data: { path: '/d.jsonl', domain: 'sums', maxTokens: 99, promptTemplate: 'Q: {question}' },
        ...{ steps: 50, batchSize: 4, accumulation: 2, batching: 'random', probes: true, checkpointEvery: 50 },
        optimizer: { learningRate: 1e-4, schedule: 'linear', warmupSteps: 5, beta2: 0.99 },
        quantizationStart: { kind: 'ramp', from: 10, to: 20 },
        evaluation: { every: 5, problems: 50 },
      }),
    );
    const rl = await stage([
      ...[
        '--objective',
        'grpo',
        '--trains',
        'lora',
        '--rank',
        '4',
        '--alpha',
        '8',
        '--dropout',
        '0',
        ...data,
        '--prompts-per-step',
        '3',
        '--group-size',
        '4',
      ],
      ...[
        '--max-new-tokens',
        '77',
        '--temperature',
        '0.9',
        '--beta',
        '0.04',
        '--clip-high',
        '0.28',
        '--loss-type',
        'dapo',
        '--scale-rewards',
        'batch',
      ],
      ...['--format-reward', '0.1', '--correct-reward', '2', '--mask-truncated', '--rollout-scheme', 'W8', '--no-activation-checkpointing'],
      ...['--top-p', '0.9', '--top-k', '40', '--truncated-reward', '-1', '--importance', 'token-truncate', '--importance-cap', '3'],
      ...['--epsilon', '1e-7'],
    ]);
    expect(rl).toMatchObject({
      objective: {
        ...{
          promptsPerStep: 3,
          groupSize: 4,
          maxNewTokens: 77,
          temperature: 0.9,
          beta: 0.04,
          clipLow: 0.2,
          clipHigh: 0.28,
          lossType: 'dapo',
        },
        ...{ scaleRewards: 'batch', maskTruncated: true, rolloutScheme: { bits: 8 }, reward: { format: 0.1, correct: 2, truncated: -1 } },
        ...{ topP: 0.9, topK: 40, importance: { kind: 'token-truncate', cap: 3 } },
      },
      optimizer: { epsilon: 1e-7 },
      trains: { kind: 'lora', rank: 4, alpha: 8, dropout: 0 },
      activationCheckpointing: false,
    });
  });

  it.each<[string, string[], RegExp]>([
    ['nothing to learn', [...data], /Nothing says what is to be learnt/],
    ['no data', ['--objective', 'sft'], /needs data/],
    [
      'an option of another objective',
      ['--objective', 'sft', ...data, '--group-size', '4'],
      /--group-size belongs to grpo, dr-grpo, rloo, not to sft/,
    ],
    ['accumulation with RL', ['--objective', 'grpo', ...data, '--accumulation', '4'], /--accumulation belongs to sft, kd/],
    [
      'an option of something else trained',
      ['--objective', 'sft', ...data, '--rank', '4'],
      /--rank belongs to --trains lora, not to weights/,
    ],
    ['a rate that learns nothing', ['--objective', 'sft', ...data, '--learning-rate', '7'], /--learning-rate 7: above 1 nothing is learnt/],
    [
      'a warm-up as long as training',
      ['--objective', 'sft', ...data, '--steps', '5', '--warmup', '5'],
      /--warmup 5: must be fewer than the 5 steps/,
    ],
    ['QAT of a float model without a scheme', ['--objective', 'sft', '--trains', 'quantized', ...data], /needs a scheme/],
    [
      'a ramp that goes back',
      ['--objective', 'sft', '--trains', 'quantized', '--scheme', 'W4', ...data, '--quantize-from', '20-10'],
      /must lie after "from"/,
    ],
    ['a module there is not', ['--objective', 'sft', '--trains', 'lora', '--modules', 'q_proj,mlp', ...data], /--modules/],
  ])('refuse %s', async (_, args, message) => {
    const error = await failure(args);
    expect(error).toMatchObject({ code: 'bad-input', message: expect.stringMatching(message) });
    expect(error.hint.length).toBeGreaterThan(10);
  });

  it('refuse all weights of a quantized model', async () => {
    expect(await failure(['--objective', 'sft', ...data], quantizedModel)).toMatchObject({
      message: expect.stringMatching(/float weights cannot be trained/),
    });
  });
});

describe('a recipe to train by', () => {
  const one = {
    type: 'train',
    objective: { kind: 'sft' },
    trains: { kind: 'weights' },
    data: { path: 'rows.jsonl' },
    steps: 4,
    batchSize: 2,
    optimizer: { learningRate: 1e-3 },
  };
  const quantize = { type: 'quantize', method: 'rtn', scheme: { bits: 4, symmetric: false, strategy: 'channel', groupSize: null } };

  it('is a single stage, or several; its paths are seen from where it lies', async () => {
    expect(await stages(['--recipe', write('one.json', one)])).toEqual([
      trainStageSchema.parse({ ...one, data: { path: path.join(folder, 'rows.jsonl') } }),
    ]);
    const both = {
      name: 'both',
      stages: [
        quantize,
        { ...one, objective: { kind: 'kd' }, trains: { kind: 'quantized' }, data: { path: 'sample:calibration/abacus.jsonl' } },
      ],
    };
    const made = await stages(['--recipe', write('both.json', both)]);
    expect(made.map(({ type }) => type)).toEqual(['quantize', 'train']);
    expect(made[1]).toMatchObject({ data: { path: path.join(resourcesDir, 'sample/calibration/abacus.jsonl') } });
  });

  it.each<[string, unknown, string[], string, RegExp]>([
    ['a stage with a wrong field', { ...one, steps: 0 }, [], 'recipe-invalid', /stages\.0/],
    ['an evaluation', { stages: [one, { type: 'export', format: 'gptq' }] }, [], 'recipe-invalid', /type "export" does not belong here/],
    ['no stages', { stages: [] }, [], 'recipe-invalid', /no stages/],
    ['stages that cannot follow each other', { stages: [quantize, one] }, [], 'bad-input', /Stage 2: float weights cannot be trained/],
    ['options beside it', one, ['--steps', '3'], 'bad-input', /--steps is given beside --recipe/],
  ])('is refused with %s', async (name, recipe, args, code, message) => {
    const error = await failure(['--recipe', write(`${name.replaceAll(' ', '-')}.json`, recipe), ...args]);
    expect(error).toMatchObject({ code, message: expect.stringMatching(message) });
  });
});
