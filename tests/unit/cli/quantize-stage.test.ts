import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command } from 'commander';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { QuantizeStage } from '#contract/recipe.ts';
import { addStageOptions, type StageOptions, stageFrom } from '../../../src-main/cli/quantize-stage.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'roundoff-stage-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

function stage(...args: string[]): Promise<QuantizeStage> {
  const command = addStageOptions(new Command().exitOverride().configureOutput({ writeErr: () => undefined }));
  command.parse(args, { from: 'user' });
  return stageFrom(command.opts<StageOptions>(), (name) => command.getOptionValueSource(name) === 'cli', '/resources');
}
const text = ['--calibration', '/data/text.jsonl'];
const scheme = (written: string) => ['--scheme', written];

describe('stages from the command line', () => {
  it.each([
    ['rtn', 'W4', [], { mseSearch: false }],
    ['rtn', 'W4', ['--mse-search'], { mseSearch: true }],
    [
      'gptq',
      'W3G128',
      [...text, '--damp', '0.05', '--act-order', '--no-true-sequential', '--keep-latents', '--no-mse-search'],
      {
        dampPercent: 0.05,
        actOrder: true,
        staticGroups: false,
        trueSequential: false,
        keepLatents: true,
        mseSearch: false,
      },
    ],
    ['awq', 'W4G128', [...text, '--scaling', 'duo', '--no-clip'], { scaling: 'duo', clip: false }],
    ['nf4', 'NF4:double', [], {}],
    ['int8', 'INT8', ['--outlier-threshold', '5'], { outlierThreshold: 5 }],
    ['quarot', 'W4A4KV4', [...text, '--weights', 'rtn', '--transform-seed', '7'], { weights: 'rtn', seed: 7 }],
    [
      'flatquant',
      'W4A4KV4',
      [...text, '--epochs', '3', '--alpha', '0.5', '--parameterisation', 'svd'],
      {
        epochs: 3,
        alpha: 0.5,
        parameterisation: 'svd',
        weights: 'rtn',
      },
    ],
  ] as const)('%s %s %j', async (method, written, more, options) => {
    const made = await stage('--method', method, ...scheme(written), ...more);
    expect(made.method).toBe(method);
    expect(made.options).toMatchObject(options);
  });

  it('takes calibration from a file or from the model’s own solutions', async () => {
    const file = await stage('--method', 'gptq', ...scheme('W4'), ...text, '--samples', '8', '--seed', '3', '--domain', 'maths', '--spill');
    expect(file).toMatchObject({ calibration: { path: '/data/text.jsonl', samples: 8, seed: 3, domain: 'maths' }, spillActivations: true });
    const own = await stage('--method', 'awq', ...scheme('W4'), '--solutions', '/data/problems.jsonl', '--solutions-problems', '9');
    expect(own).toMatchObject({ calibration: { path: '/data/problems.jsonl', solutions: { problems: 9, temperature: 0.6 } } });
  });

  it('takes mixed precision from a file or by a budget', async () => {
    const path = join(folder, 'mixed.json');
    const overrides = [{ pattern: 'layers.0.*', scheme: null }];
    const base = { bits: 4, symmetric: false, strategy: 'channel', groupSize: null };
    writeFileSync(path, JSON.stringify({ scheme: base, overrides }));
    expect(await stage('--method', 'rtn', '--overrides', path)).toMatchObject({ scheme: base, overrides });
    const budget = await stage('--method', 'rtn', '--mixed-budget', '3', '--mixed-schemes', 'W2G32,W4G32', ...text);
    expect(budget).toMatchObject({ mixed: { budgetBits: 3, granularity: 'layer' }, scheme: { bits: 2 } });
  });

  it.each([
    ['an option of another method', ['--method', 'rtn', ...scheme('W4'), '--act-order'], /--act-order belongs to GPTQ/],
    ['no calibration', ['--method', 'flatquant', ...scheme('W4')], /FlatQuant .* needs calibration/],
    ['two sources of text', ['--method', 'gptq', ...scheme('W4'), ...text, '--solutions', 'x.jsonl'], /two sources/],
    ['no scheme', ['--method', 'rtn'], /no scheme/],
    ['a scheme of another method', ['--method', 'rtn', ...scheme('NF4')], /RTN/],
    ['a budget without text', ['--method', 'rtn', '--mixed-budget', '3'], /calibration text/],
    ['a value out of range', ['--method', 'gptq', ...scheme('W4'), ...text, '--damp', '-1'], /dampPercent/],
    ['a missing file of overrides', ['--method', 'rtn', '--overrides', '/nowhere.json'], /nowhere/],
  ])('refuses %s', async (_, args, message) => {
    await expect(stage(...args)).rejects.toMatchObject({ code: 'bad-input', message: expect.stringMatching(message) });
  });
});
