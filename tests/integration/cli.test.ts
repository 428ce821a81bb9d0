import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { roundoff } from '../support/captured-terminal.ts';
import { root, tinyStudy, workerProcesses } from '../support/study-run.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { writeTinyModel } from '../support/tiny-model.ts';

const folder = temporaryFolder('cli');
const at = (name: string) => path.join(folder, name);
const studyFile = at('study.json');

beforeAll(async () => {
  await writeTinyModel(at('tiny'));
  const { models: _, ...rest } = tinyStudy(at('tiny'));
  writeFileSync(studyFile, JSON.stringify({ ...rest, models: ['tiny'] }));
});

/** The command line as a process of its own. */
function start(...args: string[]): { child: ChildProcess; stderr(): string; stdout(): string; ended: Promise<number | null> } {
  const child = spawn(process.execPath, [path.join(root, 'src-main/cli/index.ts'), ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  const text = { stdout: '', stderr: '' };
  child.stdout.on('data', (bytes) => {
    text.stdout += String(bytes);
  });
  child.stderr.on('data', (bytes) => {
    text.stderr += String(bytes);
  });
  return {
    child,
    stdout: () => text.stdout,
    stderr: () => text.stderr,
    ended: new Promise((resolve) => child.on('close', resolve)),
  };
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 20));
}

const rowsOf = (stdout: string) => (JSON.parse(stdout) as { rows: unknown[] }).rows;

describe('roundoff study', () => {
  it('runs a study file, continues one that was stopped or killed, and gives the same rows each time', async () => {
    const whole = await roundoff('study', 'run', studyFile, '--project', at('whole.roundoff'), '--json');
    expect(whole.code).toBe(0);
    const rows = rowsOf(whole.stdout);
    expect(rows).toHaveLength(3);
    expect(whole.stderr).toContain('[1/3] baseline');

    const args = ['study', 'run', studyFile, '--project', at('stopped.roundoff'), '--json'];
    const interrupted = start(...args);
    await until(() => interrupted.stderr().includes('[1/3] baseline: Evaluate'));
    interrupted.child.kill('SIGINT');
    expect(await interrupted.ended).toBe(1);
    expect(interrupted.stderr()).toContain('Run the same command again to continue');

    const killed = start(...args);
    await until(() => killed.stderr().includes('[2/3]'));
    const workers = workerProcesses(killed.child.pid);
    killed.child.kill('SIGKILL');
    await killed.ended;
    await until(() => workers.every((pid) => !existsSync(`/proc/${pid}`)));

    const last = await roundoff(...args);
    expect(last).toMatchObject({ code: 0 });
    expect(last.stderr).toContain('Continuing "Tiny study"');
    expect(rowsOf(last.stdout)).toEqual(rows);

    const again = await roundoff(...args);
    expect(again.stderr).toContain('already complete');
    expect(rowsOf(again.stdout)).toEqual(rows);
    const shown = await roundoff('study', 'show', '--project', at('stopped.roundoff'), '--json');
    expect(rowsOf(shown.stdout)).toEqual(rows);
    expect((await roundoff('study', 'show', '--project', at('stopped.roundoff'))).stdout).toContain('GPTQ W2G32');

    const report = await roundoff('report', '--project', at('whole.roundoff'), '--format', 'html', '--out', at('report.html'));
    expect(report.code).toBe(0);
    expect(readFileSync(at('report.html'), 'utf8').toLowerCase()).toContain('<!doctype html>');
  });

  it('refuses bad input with exit code 2, saying what and where', async () => {
    const project = at('never.roundoff');
    const refuse = async (name: string, ...parts: string[]) => {
      const outcome = await roundoff('study', 'run', name, '--project', project);
      expect(outcome.code).toBe(2);
      expect(outcome.stdout).toBe('');
      for (const part of parts) expect(outcome.stderr).toContain(part);
    };
    await refuse('no-such-preset', 'no-such-preset', 'first-study');
    writeFileSync(at('broken.json'), '{ "name": "x", ');
    await refuse(at('broken.json'), at('broken.json'), 'JSON');
    writeFileSync(at('wrong.json'), JSON.stringify({ name: 'x', models: [], variants: [], benchmarks: 3, protocol: { temperature: -1 } }));
    await refuse(at('wrong.json'), at('wrong.json'), 'models', 'benchmarks', 'protocol.temperature');
    expect(existsSync(project)).toBe(false);

    writeFileSync(at('foreign.roundoff'), 'not a project');
    const foreign = await roundoff('study', 'run', studyFile, '--project', at('foreign.roundoff'));
    expect(foreign.code).toBe(2);
    expect(readFileSync(at('foreign.roundoff'), 'utf8')).toBe('not a project');
  });
});

describe('roundoff on single models', () => {
  it('inspects, quantizes, evaluates and generates', async () => {
    const inspected = await roundoff('model', 'inspect', at('tiny'), '--json');
    expect(JSON.parse(inspected.stdout)).toMatchObject({ architecture: 'qwen3', layers: 2, problems: [] });

    const quantize = ['quantize', at('tiny'), '--method', 'gptq', '--scheme', 'W2G32', '--calibration', 'sample:calibration/abacus.jsonl'];
    const quantized = await roundoff(
      ...quantize,
      '--samples',
      '8',
      '--sequence-length',
      '32',
      '--out',
      at('w2'),
      '--backend',
      'wasm',
      '--json',
    );
    expect(quantized.code).toBe(0);
    const report = JSON.parse(quantized.stdout) as { layers: unknown[]; bitsPerWeight: number };
    expect(report.layers).toHaveLength(14);
    expect(report.bitsPerWeight).toBeCloseTo(2.5625, 6);
    expect(JSON.parse(readFileSync(path.join(at('w2'), 'quantization-report.json'), 'utf8'))).toMatchObject({ scheme: 'W2G32' });

    const evaluate = ['evaluate', at('w2'), '--benchmark', 'abacus-sums', '--problems', '4', '--seeds', '2', '--max-new-tokens', '16'];
    const first = await roundoff(...evaluate, '--backend', 'wasm', '--samples', at('samples.jsonl'), '--json');
    expect(first.code).toBe(0);
    const { benchmarks } = JSON.parse(first.stdout) as {
      benchmarks: { problems: number; seeds: number[]; verdicts: Record<string, number> }[];
    };
    expect(benchmarks[0]).toMatchObject({ problems: 4, seeds: [42, 43] });
    expect(Object.values(benchmarks[0]!.verdicts).reduce((sum, value) => sum + value)).toBe(8);
    expect(readFileSync(at('samples.jsonl'), 'utf8').trim().split('\n')).toHaveLength(8);

    const generate = [
      'generate',
      at('w2'),
      '--prompt',
      '1+1=?',
      '--prompt',
      '2+2=?',
      '--max-new-tokens',
      '8',
      '--backend',
      'wasm',
      '--json',
    ];
    const generated = await roundoff(...generate);
    expect((JSON.parse(generated.stdout) as { completions: { prompt: string }[] }).completions.map((item) => item.prompt)).toEqual([
      '1+1=?',
      '2+2=?',
    ]);
    expect((await roundoff(...generate)).stdout).toBe(generated.stdout);
  });

  it('refuses what does not fit with exit code 2', async () => {
    const refuse = async (args: string[], ...parts: string[]) => {
      const outcome = await roundoff(...args);
      expect(outcome.code).toBe(2);
      for (const part of parts) expect(outcome.stderr).toContain(part);
    };
    await refuse(['model', 'inspect', at('nowhere')]);
    await refuse(['quantize', at('tiny'), '--method', 'rtn', '--scheme', 'W9', '--out', at('x')], 'W9');
    await refuse(['quantize', at('tiny'), '--method', 'gptq', '--scheme', 'W4', '--out', at('x')], '--calibration');
    await refuse(['quantize', at('tiny'), '--method', 'rtn', '--scheme', 'W4G128', '--out', at('x')], 'k_proj', '128');
    await refuse(['quantize', at('tiny'), '--method', 'awq', '--scheme', 'W4', '--out', at('x')], 'awq');
    await refuse(['evaluate', at('tiny'), '--benchmark', `own=${at('none.jsonl')}`], at('none.jsonl'));
    expect(existsSync(at('x'))).toBe(false);
  });

  it('reports on the machine', async () => {
    const { code, stdout } = await roundoff('doctor', '--json');
    expect(code).toBe(0);
    const report = JSON.parse(stdout) as { backends: { name: string; available: boolean; reason: string | null }[]; node: string };
    expect(report.node).toBe(process.version);
    expect(report.backends.find((backend) => backend.name === 'wasm')).toMatchObject({ available: true });
    for (const backend of report.backends) expect(backend.available || (backend.reason ?? '').length > 10).toBe(true);
  });
});
