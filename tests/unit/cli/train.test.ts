/** `train` as it is typed: a trained folder and its report, exit codes, and the same command going on after a cut. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { Writable } from 'node:stream';
import { beforeAll, describe, expect, it } from 'vitest';
import { createContext } from '../../../src-main/cli/context.ts';
import { trainRecipe } from '../../../src-main/cli/train-recipe.ts';
import { readModelConfig } from '../../../src-main/engine/model/config.ts';
import { loadTokenizer } from '../../../src-main/engine/model/tokenizer.ts';
import { roundoff } from '../../support/captured-terminal.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';
import { writeTinyModel } from '../../support/tiny-model.ts';
import { trainStage, writeTrainingRows } from '../../support/training.ts';

const folder = temporaryFolder('cli-train');
const modelDir = path.join(folder, 'tiny');
const data = path.join(folder, 'rows.jsonl');
const common = ['--data', data, '--steps', '6', '--batch-size', '4', '--max-tokens', '150', '--backend', 'wasm'];
const weights = (dir: string) => readFileSync(path.join(dir, 'model.safetensors'));

beforeAll(async () => {
  await writeTinyModel(modelDir);
  writeTrainingRows(data);
});

describe('train', () => {
  it('writes a model folder with its report, and says what was learnt', async () => {
    const out = path.join(folder, 'sft');
    const { code, stdout, stderr } = await roundoff('train', modelDir, '--objective', 'sft', ...common, '--out', out, '--json');
    expect(stderr).toMatch(/SFT: 1 of 6 steps, loss [\d.]+, [\d,]+ tokens\/s/);
    expect(code).toBe(0);
    const result = JSON.parse(stdout);
    expect(result).toMatchObject({
      out,
      recipe: 'SFT',
      seed: 42,
      backend: 'wasm',
      stages: [{ title: 'SFT', bitsPerWeight: null, summary: { steps: 6 } }],
    });
    expect(JSON.parse(readFileSync(path.join(out, 'training-report.json'), 'utf8'))).toMatchObject({
      stages: result.stages,
      recipe: [{ type: 'train', steps: 6 }],
    });
    expect(existsSync(`${out}.stages`) || existsSync(`${out}.work`)).toBe(false);
    const again = await roundoff('train', modelDir, '--objective', 'sft', ...common, '--out', out);
    expect(again.code).toBe(2);
    const other = path.join(folder, 'sft2');
    const text = await roundoff('train', modelDir, '--objective', 'sft', ...common, '--out', other);
    expect(text.stdout).toMatch(/SFT: 6 steps over [\d,]+ tokens of 42 rows \(6 were too long\)[\s\S]*loss [\d.]+[\s\S]*sft2/);
    expect(weights(other).equals(weights(out))).toBe(true);
  });

  it('watches accuracy and keeps the best step', async () => {
    const out = path.join(folder, 'watched');
    const watching = ['--evaluate-every', '2', '--evaluate-problems', '2', '--benchmark', 'abacus-sums', '--evaluate-new-tokens', '8'];
    const { code, stdout, stderr } = await roundoff(
      'train',
      modelDir,
      '--objective',
      'sft',
      ...common,
      ...watching,
      '--out',
      out,
      '--json',
    );
    expect(code).toBe(0);
    expect(stderr).toContain('Accuracy after step 4: 0.0 %');
    expect(JSON.parse(stdout).stages[0]).toMatchObject({ bestFolder: `${out}-best`, summary: { best: { step: 2, accuracy: 0 } } });
    expect(existsSync(path.join(`${out}-best`, 'config.json'))).toBe(true);
  });

  it('exits with 2 for bad input and lists the remedy', async () => {
    for (const [args, message] of [
      [['--objective', 'sft', '--out', path.join(folder, 'x')], /needs data/],
      [['--objective', 'sft', ...common, '--evaluate-every', '2', '--out', path.join(folder, 'x')], /what to evaluate on/],
      [['--objective', 'sft', ...common, '--benchmark', 'abacus-sums', '--out', path.join(folder, 'x')], /nothing is evaluated/],
      [['--objective', 'sft', '--data', '/missing.jsonl', '--out', path.join(folder, 'x')], /does not exist/],
      [['--objective', 'sft', ...common], /--out/],
      [['--objective', 'swim', ...common, '--out', path.join(folder, 'x')], /sft/],
      [['--recipe', '/missing.json', '--out', path.join(folder, 'x')], /does not exist/],
    ] as const) {
      const { code, stderr } = await roundoff('train', modelDir, ...args);
      expect([code, stderr]).toEqual([2, expect.stringMatching(message)]);
    }
    expect(existsSync(path.join(folder, 'x'))).toBe(false);
  });

  it('shows examples with --help', async () => {
    const { code, stdout } = await roundoff('train', '--help');
    expect(code).toBe(0);
    for (const text of ['--objective', '--trains', 'Distillation (kd):', 'RL (grpo, dr-grpo, rloo):', 'Examples:', '--recipe', 'Ctrl-C'])
      expect(stdout).toContain(text);
  });
});

describe('a recipe of several stages', () => {
  const stream = () => new Writable({ write: (_chunk, _encoding, done) => done() });

  async function run(outDir: string, signal: AbortSignal, change: object = {}) {
    const context = createContext({ stdout: stream(), stderr: stream() }, signal);
    const { vocabSize } = await readModelConfig(modelDir);
    const tokenizer = await loadTokenizer(modelDir, { vocabSize });
    const stages = [trainStage(data, { steps: 6 }), trainStage(data, { steps: 9, optimizer: { learningRate: 5e-4 }, ...change })];
    return trainRecipe(context, { baseDir: modelDir, modelHash: 'h', outDir, stages, seed: 3, tokenizer, evaluation: null });
  }

  it('goes on from its last checkpoint after Ctrl-C, with the same bytes in the end', async () => {
    const whole = path.join(folder, 'whole');
    expect((await run(whole, new AbortController().signal)).map(({ title }) => title)).toEqual(['SFT', 'SFT']);
    const cut = path.join(folder, 'cut');
    const stop = new AbortController();
    const watching = setInterval(() => {
      if (existsSync(path.join(`${cut}.work`, 'training', 'model.safetensors'))) stop.abort();
    }, 1);
    await expect(run(cut, stop.signal)).rejects.toMatchObject({ code: 'cancelled' });
    clearInterval(watching);
    expect(existsSync(cut)).toBe(false);
    expect(existsSync(path.join(`${cut}.stages`, 'stage-0'))).toBe(true);
    await expect(run(cut, new AbortController().signal, { steps: 10 })).rejects.toMatchObject({
      code: 'bad-input',
      message: expect.stringContaining('another recipe'),
    });
    const rest = await run(cut, new AbortController().signal);
    expect(rest).toHaveLength(1);
    expect(weights(cut).equals(weights(whole))).toBe(true);
    expect(existsSync(`${cut}.stages`) || existsSync(`${cut}.work`)).toBe(false);
  });

  it('is read from a file by the command', async () => {
    const file = path.join(folder, 'recipe.json');
    writeFileSync(
      file,
      JSON.stringify({
        name: 'two',
        stages: [
          trainStage('rows.jsonl', { steps: 2, optimizer: { learningRate: 1e-3 } }),
          { type: 'quantize', method: 'rtn', scheme: { bits: 4, symmetric: false, strategy: 'group', groupSize: 32 } },
        ],
      }),
    );
    const out = path.join(folder, 'from-recipe');
    const { code, stdout, stderr } = await roundoff(
      'train',
      modelDir,
      '--recipe',
      file,
      '--out',
      out,
      '--seed',
      '9',
      '--backend',
      'wasm',
      '--json',
    );
    expect([code, stderr]).toEqual([0, expect.stringMatching(/\[1\/2\] SFT/)]);
    expect(JSON.parse(stdout)).toMatchObject({
      recipe: 'SFT → RTN W4G32',
      seed: 9,
      stages: [{ title: 'SFT' }, { title: 'RTN W4G32', bitsPerWeight: expect.closeTo(4.625, 2) }],
    });
  });
});
