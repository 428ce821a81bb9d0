/** What the command line says when it is given something it cannot use. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { reportFormats } from '#contract/commands.ts';
import type { StudySpec } from '#contract/recipe.ts';
import { roundoff } from '../../support/captured-terminal.ts';
import { exampleSpec, recordedProject } from '../../support/recorded-project.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';
import { writeTinyModel } from '../../support/tiny-model.ts';
import { readWorkbook } from '../reports/read-workbook.ts';

const folder = temporaryFolder('cli-bad-input');
const at = (name: string) => path.join(folder, name);

beforeAll(() => writeTinyModel(at('tiny')));

async function withConfig(name: string, change: object): Promise<string> {
  await writeTinyModel(at(name));
  const file = path.join(at(name), 'config.json');
  writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, 'utf8')), ...change }));
  return at(name);
}

describe('an error', () => {
  it('is said once', async () => {
    const dir = await withConfig('mixtral', { model_type: 'mixtral', architectures: ['MixtralForCausalLM'] });
    const { code, stderr, stdout } = await roundoff('generate', dir, '--prompt', '1');
    expect(code).toBe(2);
    expect(stdout).toBe('');
    expect(stderr.trimEnd().split('\n')).toHaveLength(2);
    expect(stderr.split('"mixtral"')).toHaveLength(2);
    const inspected = await roundoff('model', 'inspect', dir);
    expect(inspected.code).toBe(2);
    expect(inspected.stdout).toMatch(/^error: config\.json, model_type: .*\n$/);
  });

  it('with very many findings shows the first, and all of them to machines', async () => {
    const dir = await withConfig('deep', { num_hidden_layers: 60 });
    const shown = await roundoff('generate', dir, '--prompt', '1');
    expect(shown.stderr.trimEnd().split('\n')).toHaveLength(23);
    expect(shown.stderr).toMatch(/… and \d+ more; --json lists all\./);
    const { error } = JSON.parse((await roundoff('generate', dir, '--prompt', '1', '--json')).stdout) as { error: { problems: string[] } };
    expect(error.problems.length).toBeGreaterThan(500);
  });
});

describe('quantize', () => {
  it('refuses an occupied place before it computes anything', async () => {
    mkdirSync(at('full'));
    writeFileSync(at('full/notes.txt'), 'mine');
    const args = ['--method', 'rtn', '--scheme', 'W4', '--backend', 'wasm'];
    for (const [place, part] of [
      ['full', 'not empty'],
      ['full/notes.txt', 'is a file'],
      ['full/notes.txt/deeper', 'is a file'],
    ] as const) {
      const { code, stderr } = await roundoff('quantize', at('tiny'), ...args, '--out', at(place));
      expect(code).toBe(2);
      expect(stderr).toContain(at(place));
      expect(stderr).toContain(part);
      expect(stderr).not.toContain('Quantizing');
    }
    expect(readFileSync(at('full/notes.txt'), 'utf8')).toBe('mine');
  });

  it('uses the method that is named, or refuses', async () => {
    writeFileSync(at('sums.txt'), 'Tom adds 2 and 3. '.repeat(60));
    const text = ['--calibration', at('sums.txt'), '--samples', '2', '--sequence-length', '16'];
    const run = (method: string, scheme: string, out: string, ...more: string[]) =>
      roundoff('quantize', at('tiny'), '--backend', 'wasm', '--method', method, '--scheme', scheme, '--out', at(out), ...more);
    const rotated = await run('quarot', 'W4A4KV4', 'rotated', ...text, '--json');
    expect(rotated.code).toBe(0);
    expect(JSON.parse(rotated.stdout)).toMatchObject({ method: 'quarot', scheme: 'W4A4KV4' });
    expect(JSON.parse(readFileSync(at('rotated/config.json'), 'utf8')).quantization_config.layers[0].keys.transform).toBe(true);
    for (const method of ['gptq', 'awq', 'quarot', 'flatquant']) {
      const { code, stderr } = await run(method, 'W4', 'none');
      expect(code).toBe(2);
      expect(stderr).toContain(`(--method ${method}) needs calibration text`);
    }
    const foreign = await run('quarot', 'W4', 'none', ...text, '--act-order');
    expect(foreign.code).toBe(2);
    expect(foreign.stderr).toContain('--act-order belongs to gptq, not to quarot.');
    expect(existsSync(at('none'))).toBe(false);
  });

  it('names options that do not fit the method, the value or the format before it reads the model', async () => {
    const text = ['--calibration', 'sample:calibration/abacus.jsonl'];
    for (const [args, message] of [
      [['rtn', '--damp', '0.1', '--scheme', 'W4'], '--damp belongs to gptq, quarot, not to rtn.'],
      [['gptq', '--damp', '0', '--scheme', 'W4', ...text], '--damp 0: Too small'],
      [['awq', '--scheme', 'W4'], 'AWQ (--method awq) needs calibration text.'],
      [['gptq', '--scheme', 'W4', ...text, '--keep-latents', '--format', 'gptq'], '--format gptq has no place for latents.'],
      [
        ['gptq', '--mixed-budget', '3', '--mixed-schemes', 'W2,W4', ...text, '--format', 'gptq'],
        '--format gptq cannot express GPTQ mixed 3 bits: ',
      ],
    ] as const) {
      const { code, stderr } = await roundoff('quantize', at('nowhere'), '--out', at('none'), '--method', ...args);
      expect(code).toBe(2);
      expect(stderr).toContain(message);
    }
  });

  it('says what too short a calibration text lacks', async () => {
    writeFileSync(at('short.txt'), 'Tom\n');
    const args = ['--method', 'gptq', '--scheme', 'W4', '--backend', 'wasm', '--calibration', at('short.txt')];
    const { code, stderr } = await roundoff('quantize', at('tiny'), ...args, '--out', at('w4'));
    expect(code).toBe(2);
    expect(stderr).toContain(`${at('short.txt')} holds`);
    expect(stderr).toContain('in 1 document;');
    expect(stderr).toContain('ask for shorter samples');
    expect(existsSync(at('w4'))).toBe(false);
  });
});

describe('evaluate', () => {
  it('refuses one name for two benchmarks', async () => {
    const { code, stderr } = await roundoff('evaluate', at('tiny'), '--benchmark', 'own=a.jsonl', '--benchmark', 'own=b.jsonl');
    expect(code).toBe(2);
    expect(stderr).toContain('"own" is given twice');
  });
});

describe('report', () => {
  it('gives machines JSON in every format that is text', async () => {
    recordedProject(at('study.roundoff')).project.close();
    for (const format of reportFormats.filter((name) => name !== 'xlsx')) {
      const { code, stdout } = await roundoff('report', '--project', at('study.roundoff'), '--format', format, '--json');
      expect(code).toBe(0);
      const report = JSON.parse(stdout) as { format: string; text: string };
      expect(report.format).toBe(format);
      expect(report.text.length).toBeGreaterThan(100);
    }
  });

  it('writes a workbook to a file, and does not print one', async () => {
    const { project, studyId } = recordedProject(at('workbook.roundoff'));
    project.close();
    const args = ['report', '--project', at('workbook.roundoff'), '--format', 'xlsx'];
    const refused = await roundoff(...args);
    expect(refused.code).toBe(2);
    expect(refused.stdout).toBe('');
    expect(refused.stderr).toContain('--out FILE.xlsx');
    const { code, stdout } = await roundoff(...args, '--study', String(studyId), '--out', at('study.xlsx'), '--json');
    expect(code).toBe(0);
    const written = JSON.parse(stdout) as { path: string; sizeBytes: number };
    expect(written).toMatchObject({ path: at('study.xlsx'), sizeBytes: readFileSync(at('study.xlsx')).length });
    const sheets = await readWorkbook(readFileSync(at('study.xlsx')), folder);
    expect(sheets[0]!.cells.slice(1).map(([name]) => name!.value)).toEqual(['baseline', 'RTN W4']);
  });
});

describe('study run', () => {
  const refuse = async (name: string, change: (spec: StudySpec) => void) => {
    const spec = structuredClone({ ...exampleSpec, models: [at('tiny')] });
    change(spec);
    writeFileSync(at(`${name}.json`), JSON.stringify(spec));
    const { code, stderr, stdout } = await roundoff('study', 'run', at(`${name}.json`), '--project', at(`${name}.roundoff`));
    expect(code).toBe(2);
    expect(stdout).toBe('');
    expect(stderr.trimEnd().split('\n')).toHaveLength(2);
    return stderr;
  };

  it('refuses a scheme that contradicts itself', async () => {
    const stderr = await refuse('channel', (spec) => {
      const stage = spec.variants[0]!.stages[0]!;
      if (stage.type === 'quantize') stage.scheme.groupSize = 32;
    });
    expect(stderr).toContain('variants.0.stages.0.scheme.groupSize');
    expect(existsSync(at('channel.roundoff'))).toBe(false);
  });

  it('names the model folder that holds NaN, and records nothing', async () => {
    await writeTinyModel(at('nan'));
    const file = at('nan/model.safetensors');
    const bytes = readFileSync(file);
    bytes.writeFloatLE(Number.NaN, bytes.length - 4);
    writeFileSync(file, bytes);
    const stderr = await refuse('damaged', (spec) => {
      spec.models = [at('nan')];
    });
    expect(stderr).toContain(`${at('nan')}: model.`);
    expect(stderr).toContain('holds NaN at');
    const shown = await roundoff('study', 'show', '--project', at('damaged.roundoff'));
    expect(shown.stderr).toContain('holds no study');
  });
});

describe('a backend that is not there', () => {
  it('is named, with what to do', async () => {
    vi.stubEnv('ROUNDOFF_RUNTIMES', at('no-runtimes'));
    const { code, stderr } = await roundoff('generate', at('tiny'), '--prompt', '1', '--backend', 'tensorflow');
    vi.unstubAllEnvs();
    expect(code).toBe(1);
    expect(stderr).toMatch(/^error: The backend tensorflow cannot be used: /);
    expect(stderr).toContain('roundoff runtime install tensorflow');
  });
});
