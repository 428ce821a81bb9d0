/** What stage a `quantize` command line asks for, and what it says of options that do not fit. */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import { type QuantizationMethod, quantizationMethods, quantizeStageSchema } from '#contract/recipe.ts';
import { formatScheme, parseScheme } from '#contract/scheme.ts';
import { addQuantizeFlags, givenFlags, nameOf, quantizeFlags } from '../../../src-main/cli/quantize-flags.ts';
import { quantizeStage } from '../../../src-main/cli/quantize-stage-options.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';

const folder = temporaryFolder('cli-stage');
const at = (name: string) => path.join(folder, name);
const text = at('text.jsonl');
const usual = { path: text, samples: 128, sequenceLength: 512, seed: 0 };

/** The stage of `--method METHOD` and the words of `line`. */
function stageOf(method: QuantizationMethod, line: string) {
  const command = new Command().exitOverride().option('--method <name>');
  command.configureOutput({ writeErr: () => undefined });
  addQuantizeFlags(command);
  command.parse(['--method', method, ...line.split(' ').filter((word) => word !== '')], { from: 'user' });
  return quantizeStage(givenFlags(command), at('resources'));
}

async function problemsOf(method: QuantizationMethod, line: string): Promise<string[]> {
  const error = await stageOf(method, line).then(
    () => null,
    (reason: unknown) => reason as { code: string; message: string; hint: string; problems: string[] },
  );
  expect(error).toMatchObject({ code: 'bad-input' });
  expect(error!.hint.length).toBeGreaterThan(8);
  return error!.problems.length > 0 ? error!.problems : [error!.message];
}

const stage = (method: QuantizationMethod, scheme: string, more: object) =>
  quantizeStageSchema.parse({ type: 'quantize', method, scheme: parseScheme(scheme), ...more });

const calibration = `--calibration ${text}`;

describe('the stage of a command line', () => {
  it.each<[QuantizationMethod, string, object]>([
    ['rtn', '--scheme W4G128', {}],
    ['rtn', '--scheme W4G128 --mse-search', { options: { mseSearch: true } }],
    ['rtn', '--scheme W4A8KV8 --activation-clip 0.9 --kv-clip 0.8', { activationClip: 0.9, kvClip: 0.8 }],
    ['gptq', `--scheme W3G128 ${calibration}`, { calibration: usual }],
    [
      'gptq',
      `--scheme W3G128 ${calibration} --samples 4 --sequence-length 64 --seed 3 --domain maths --damp 0.05 --block-size 64 --act-order --static-groups --no-true-sequential --keep-latents --no-mse-search --spill`,
      {
        calibration: { path: text, samples: 4, sequenceLength: 64, seed: 3, domain: 'maths' },
        options: {
          ...{ dampPercent: 0.05, blockSize: 64, actOrder: true, staticGroups: true, trueSequential: false },
          ...{ keepLatents: true, mseSearch: false },
        },
        spillActivations: true,
      },
    ],
    ['awq', `--scheme W4G128 ${calibration}`, { calibration: usual }],
    ['awq', `--scheme W4G128 ${calibration} --scaling duo --no-clip`, { calibration: usual, options: { scaling: 'duo', clip: false } }],
    ['nf4', '--scheme NF4:double', {}],
    ['nf4', '--scheme NF4KV4 --kv-clip 0.9', { kvClip: 0.9 }],
    ['int8', '--scheme INT8 --outlier-threshold 4', { options: { outlierThreshold: 4 } }],
    ['quarot', `--scheme W4A4KV4 ${calibration}`, { calibration: usual }],
    [
      'quarot',
      `--scheme W4A4KV4 ${calibration} --activation-clip 1 --kv-clip 1 --rotation-seed 7 --damp 0.02 --block-size 32 --no-mse-search`,
      {
        ...{ calibration: usual, activationClip: 1, kvClip: 1 },
        options: { seed: 7, dampPercent: 0.02, blockSize: 32, mseSearch: false },
      },
    ],
    ['quarot', '--scheme W4A4KV4 --weights rtn', { options: { weights: 'rtn' } }],
    ['flatquant', `--scheme W4A4KV4 ${calibration}`, { calibration: usual }],
    [
      'flatquant',
      `--scheme W4A4KV4 ${calibration} --epochs 2 --batch-size 1 --learning-rate 0.01 --alpha 0.5 --parameterisation svd --weights gptq --rotation-seed 1`,
      {
        calibration: usual,
        options: { epochs: 2, batchSize: 1, learningRate: 0.01, alpha: 0.5, parameterisation: 'svd', weights: 'gptq', seed: 1 },
      },
    ],
  ])('of %s %s', async (method, line, more) => {
    const scheme = /--scheme (\S+)/.exec(line)![1]!;
    expect(await stageOf(method, line)).toEqual(stage(method, scheme, more));
  });

  it('may calibrate on the model’s own solutions', async () => {
    const path = at('problems.jsonl');
    expect(await stageOf('awq', `--scheme W4G128 --solutions ${path}`)).toEqual(
      stage('awq', 'W4G128', { calibration: { ...usual, path, solutions: {} } }),
    );
    const own = '--solutions-problems 5 --solutions-temperature 0 --solutions-max-new-tokens 99';
    expect(await stageOf('gptq', `--scheme W4 --solutions ${path} ${own}`)).toEqual(
      stage('gptq', 'W4', { calibration: { ...usual, path, solutions: { problems: 5, temperature: 0, maxNewTokens: 99 } } }),
    );
  });

  it('finds sample files, and others from the working folder', async () => {
    const sample = await stageOf('gptq', '--scheme W4 --calibration sample:calibration/abacus.jsonl');
    expect(sample).toMatchObject({ calibration: { path: at('resources/sample/calibration/abacus.jsonl') } });
    expect(await stageOf('gptq', '--scheme W4 --calibration own.txt')).toMatchObject({ calibration: { path: path.resolve('own.txt') } });
  });

  it('takes schemes of single modules from a file, and its scheme where none is given', async () => {
    const proposal = { scheme: parseScheme('W3G32'), overrides: [{ pattern: 'layers.0.*', scheme: parseScheme('W4G32') }] };
    writeFileSync(at('mixed.json'), JSON.stringify(proposal));
    expect(await stageOf('rtn', `--overrides ${at('mixed.json')}`)).toEqual(stage('rtn', 'W3G32', { overrides: proposal.overrides }));
    expect(await stageOf('rtn', `--overrides ${at('mixed.json')} --scheme W2`)).toEqual(
      stage('rtn', 'W2', { overrides: proposal.overrides }),
    );
  });

  it('may leave the schemes to a sensitivity scan, on the calibration’s text', async () => {
    const candidates = ['W2G32', 'W4G32'].map(parseScheme);
    const line = `--mixed-budget 3 --mixed-schemes W2G32,W4G32 ${calibration} --samples 2`;
    const own = { ...usual, samples: 2 };
    const mixed = { budgetBits: 3, candidates, calibration: own };
    expect(await stageOf('rtn', line)).toEqual(stage('rtn', 'W2G32', { mixed }));
    expect(await stageOf('gptq', `${line} --mixed-granularity module`)).toEqual(
      stage('gptq', 'W2G32', { mixed: { ...mixed, granularity: 'module' }, calibration: own }),
    );
    expect(await stageOf('quarot', `${line} --weights rtn --scheme W4A4KV4`)).toEqual(
      stage('quarot', 'W4A4KV4', { mixed, options: { weights: 'rtn' } }),
    );
    const schemes = async (method: QuantizationMethod) =>
      (await stageOf(method, `--mixed-budget 5 ${calibration}`)).mixed!.candidates.map(formatScheme);
    expect(await schemes('rtn')).toEqual(['W2G128', 'W3G128', 'W4G128', 'W8G128']);
    expect(await schemes('nf4')).toEqual(['NF4', 'NF4:double']);
    const both = await stageOf('rtn', `--mixed-budget 6 --mixed-schemes W4A4,W8A8 ${calibration}`);
    expect(both.scheme.activationBits).toBeUndefined();
    expect(both.mixed!.candidates.map((candidate) => candidate.activationBits)).toEqual([4, 8]);
  });
});

describe('an option of another method', () => {
  it.each(quantizationMethods)('is refused by %s by its name', async (method) => {
    const scheme = method === 'nf4' ? 'NF4' : method === 'int8' ? 'INT8' : 'W4A4KV4';
    const foreign = quantizeFlags.filter((flag) => flag.path.startsWith('options.') && !flag.methods.includes(method));
    expect(foreign.length).toBeGreaterThan(5);
    for (const flag of foreign) {
      const [long] = flag.flags.split(' ');
      const value = flag.flags.includes('<') ? (flag.choices?.[0] ?? '1') : '';
      const text = ['rtn', 'nf4', 'int8'].includes(method) ? '' : calibration;
      expect(await problemsOf(method, `--scheme ${scheme} ${text} ${long} ${value}`)).toEqual([
        `${long} belongs to ${flag.methods.join(', ')}, not to ${method}.`,
      ]);
    }
  });

  it('is found together with all others', async () => {
    expect(await problemsOf('rtn', '--scheme W4 --damp 0.1 --epochs 3 --samples 4')).toEqual([
      '--damp belongs to gptq, quarot, not to rtn.',
      '--epochs belongs to flatquant, not to rtn.',
      '--samples has no effect: rtn reads no calibration text.',
    ]);
  });
});

describe('options that do not go together', () => {
  it.each<[QuantizationMethod, string, string]>([
    ['gptq', '--scheme W4', 'GPTQ (--method gptq) needs calibration text.'],
    ['awq', '--scheme W4', 'AWQ (--method awq) needs calibration text.'],
    ['flatquant', '--scheme W4A4', 'FlatQuant (--method flatquant) needs calibration text.'],
    ['quarot', '--scheme W4A4', 'QuaRot (--method quarot) needs calibration text.'],
    ['rtn', '--mixed-budget 3 --mixed-schemes W2,W4', '--mixed-budget needs calibration text.'],
    ['gptq', calibration, 'GPTQ (--method gptq) needs a scheme.'],
    ['nf4', '', 'NF4 (--method nf4) needs a scheme.'],
    ['rtn', `--scheme W4 ${calibration}`, '--calibration has no effect: rtn reads no calibration text.'],
    ['rtn', '--scheme W4 --spill', '--spill belongs to gptq, awq, quarot, flatquant, not to rtn.'],
    [
      'quarot',
      `--scheme W4A4 --weights rtn ${calibration}`,
      '--calibration has no effect: quarot with --weights rtn reads no calibration text.',
    ],
    ['quarot', '--scheme W4A4 --weights rtn --spill', '--spill has no effect: quarot with --weights rtn reads no calibration text.'],
    ['quarot', '--scheme W4A4 --weights rtn --damp 0.1', '--damp has no effect with --weights rtn.'],
    ['gptq', `--scheme W4 ${calibration} --solutions p.jsonl`, '--calibration and --solutions are both given.'],
    ['gptq', `--scheme W4 ${calibration} --solutions-problems 3`, '--solutions-problems is given without --solutions.'],
    ['gptq', `--scheme W4 ${calibration} --mixed-schemes W2,W4`, '--mixed-schemes is given without --mixed-budget.'],
    ['gptq', `--scheme W4 ${calibration} --mixed-granularity layer`, '--mixed-granularity is given without --mixed-budget.'],
    ['gptq', `${calibration} --mixed-budget 3 --mixed-schemes W2,W4 --overrides o`, '--overrides and --mixed-budget are both given.'],
    ['int8', `--scheme INT8 --mixed-budget 9`, '--mixed-budget belongs to rtn, gptq, awq, nf4, quarot, flatquant, not to int8.'],
    ['rtn', '--scheme W4 --activation-clip 0.9', '--activation-clip has no effect: the scheme leaves activations in float.'],
    ['rtn', '--scheme W4A4 --kv-clip 0.9', '--kv-clip has no effect: the scheme leaves keys and values in float.'],
    [
      'flatquant',
      `--scheme W4A4KV4 ${calibration} --kv-clip 0.9`,
      '--kv-clip belongs to rtn, gptq, awq, nf4, int8, quarot, not to flatquant.',
    ],
  ])('%s %s', async (method, line, message) => {
    expect((await problemsOf(method, line))[0]).toBe(message);
  });
});

describe('a value out of range', () => {
  it.each<[QuantizationMethod, string, RegExp]>([
    ['gptq', `--scheme W4 ${calibration} --damp 0`, /^--damp 0: Too small/],
    ['flatquant', `--scheme W4A4 ${calibration} --alpha 2`, /^--alpha 2: Too big/],
    ['rtn', '--scheme W4A4 --activation-clip 1.5', /^--activation-clip 1.5: Too big/],
    ['gptq', '--scheme W4 --solutions p.jsonl --solutions-temperature 3', /^--solutions-temperature 3: Too big/],
    ['int8', '--scheme W8', /^--scheme W8: INT8 writes the scheme INT8 only, not W8\.$/],
    ['awq', `--scheme NF4 ${calibration}`, /^--scheme NF4: AWQ needs an integer scheme/],
    ['rtn', `--mixed-budget 1 --mixed-schemes W2,W4 ${calibration}`, /^--mixed-budget 1: Too small/],
    ['rtn', `--mixed-budget 3 --mixed-schemes W2 ${calibration}`, /^--mixed-schemes W2: Too small/],
    [
      'rtn',
      `--mixed-budget 3 --mixed-schemes W2,NF4 ${calibration}`,
      /^--mixed-schemes W2,NF4, mixed\.candidates\.1: RTN needs an integer/,
    ],
    ['rtn', '--scheme W9', /^"W9" is not a quantization scheme/],
  ])('%s %s', async (method, line, message) => {
    expect((await problemsOf(method, line))[0]).toMatch(message);
  });

  it('or an unknown word is refused while the options are read', async () => {
    for (const words of ['--scaling weights', '--parameterisation lu', '--damp much', '--samples 0', '--seed -1'])
      expect(() => stageOf('gptq', `--scheme W4 ${words}`), words).toThrow(expect.objectContaining({ code: 'commander.invalidArgument' }));
  });
});

describe('a file of overrides', () => {
  const written = (name: string, content: unknown) => {
    writeFileSync(at(name), typeof content === 'string' ? content : JSON.stringify(content));
    return `--scheme W4 --overrides ${at(name)}`;
  };

  it('that is not one is refused with its name and the place', async () => {
    await expect(stageOf('rtn', `--scheme W4 --overrides ${at('none.json')}`)).rejects.toMatchObject({ code: 'not-found' });
    expect((await problemsOf('rtn', written('cut.json', '{"overrides":')))[0]).toContain(`${at('cut.json')} is not valid JSON`);
    expect(await problemsOf('rtn', written('empty.json', {}))).toEqual([expect.stringContaining(`${at('empty.json')}: overrides: `)]);
    const wrong = { overrides: [{ pattern: '', scheme: { ...parseScheme('W4'), groupSize: 4 } }] };
    const problems = await problemsOf('rtn', written('wrong.json', wrong));
    for (const place of ['overrides.0.pattern', 'overrides.0.scheme.groupSize'])
      expect(problems).toContainEqual(expect.stringContaining(`${at('wrong.json')}: ${place}: `));
  });

  it('with a scheme the method cannot write is refused', async () => {
    const line = written('nf4.json', { overrides: [{ pattern: '*.q_proj', scheme: parseScheme('NF4') }] });
    const [problem] = await problemsOf('rtn', line);
    expect(problem).toBe(`--overrides ${at('nf4.json')}, overrides.0.scheme: RTN needs an integer scheme such as W4G128, not NF4.`);
  });
});

describe('the table of options', () => {
  it('has a name for every option, and none twice but --no-mse-search', () => {
    const names = quantizeFlags.map(nameOf);
    expect(names.filter((name, index) => names.indexOf(name) < index)).toEqual(['mseSearch']);
  });

  it('reaches every option of every method', () => {
    for (const method of quantizationMethods) {
      const scheme = parseScheme(method === 'nf4' ? 'NF4' : method === 'int8' ? 'INT8' : 'W4A4KV4');
      const { options } = quantizeStageSchema.parse({
        type: 'quantize',
        method,
        scheme,
        ...(/rtn|nf4|int8/.test(method) ? {} : { calibration: usual }),
      });
      const reached = quantizeFlags.filter((flag) => flag.methods.includes(method)).map((flag) => flag.path);
      for (const name of Object.keys(options)) expect(reached, `${method} ${name}`).toContain(`options.${name}`);
    }
  });
});
