/**
 * The archive of scripts/gpu-check.mjs as a bare machine meets it: unpacked by its own script into an empty folder, with an empty environment
 * and, where the system lets us, without a network. Runs a few checks and one measurement on the software adapter, and a study on wasm.
 */
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { listBackends } from '../../src-main/engine/backends/select.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const root = path.resolve(import.meta.dirname, '../..');
const temporary = temporaryFolder('gpu-check');
const bare = path.join(temporary, 'bare');
const archive = path.join(temporary, 'made/roundoff-gpu-check.tar.xz');
const webgpu = (await listBackends()).find(({ name }) => name === 'webgpu');
const isTarget = process.platform === 'linux' && process.arch === 'x64' && webgpu?.available === true;
const tools = ['tar', 'xz', 'strip'].filter((tool) => spawnSync('which', [tool]).status !== 0);
if (!isTarget || tools.length > 0)
  console.info(`The GPU check's archive is not tested here: ${tools.join(', ') || (webgpu?.reason ?? process.platform)}`);

const offline = spawnSync('unshare', ['-rn', 'true']).status === 0 ? ['unshare', '-rn'] : [];
const environment = {
  PATH: '/usr/bin:/bin',
  HOME: bare,
  TMPDIR: path.join(bare, 'tmp'),
  ROUNDOFF_PYTHON: '/nowhere',
  ROUNDOFF_LLAMA: '/nowhere',
};

function run(...command: string[]) {
  const [program, ...args] = [...offline, ...command];
  return spawnSync(program!, args, { cwd: bare, env: environment, encoding: 'utf8', maxBuffer: 2 ** 28 });
}

describe.skipIf(!isTarget || tools.length > 0)('the archive of the GPU check', () => {
  beforeAll(() => {
    mkdirSync(environment.TMPDIR, { recursive: true });
    const made = spawnSync(process.execPath, [path.join(root, 'scripts/gpu-check.mjs'), '--level', '1', '--out', path.dirname(archive)], {
      encoding: 'utf8',
    });
    expect(made.stderr).not.toContain('missing');
    expect(made.status, made.stderr).toBe(0);
    copyFileSync(archive, path.join(bare, 'roundoff-gpu-check.tar.xz'));
    copyFileSync(path.join(root, 'scripts/gpu-check.sh'), path.join(bare, 'gpu-check.sh'));
  });

  it('is smaller than 60 MiB, even hardly compressed', () => {
    expect(statSync(archive).size).toBeLessThan(60 * 2 ** 20);
  });

  it('checks and measures in an empty folder and prints one table', () => {
    const out = path.join(bare, 'out');
    const options = [
      '--allow-software',
      '--quick',
      '--minutes',
      '8',
      '--checks',
      'rotaryEmbedding',
      '--cases',
      'gemm-f32',
      '--skip',
      'study',
      '--out',
      out,
    ];
    const { status, stdout, stderr } = run('/bin/sh', 'gpu-check.sh', ...options);
    expect(status, `${stdout}\n${stderr}`).toBe(0);
    const lines = stdout.split('\n').filter((line) => line.startsWith('|'));
    expect(lines.find((line) => line.includes('Reference checks'))).toMatch(/\b(\d+) of \1 passed/);
    expect(lines.find((line) => line.includes('Matrix product 512³'))).toMatch(
      /GFLOPS \| stock TF\.js webgpu \| [\d.]+ GFLOPS \| \*\*[\d.]+×\*\*/,
    );
    expect(stdout).toContain('gpu-check.sh --allow-software --quick');
    expect(stdout).toMatch(/Not measured: TRL, /);
    expect(readFileSync(path.join(out, 'gpu-check.md'), 'utf8').trim()).toBe(stdout.trim());
    expect((JSON.parse(readFileSync(path.join(out, 'gpu-check.json'), 'utf8')) as { device: object }).device).toBeTypeOf('object');
  });

  it('refuses a software adapter that nobody asked for, and options it does not know', () => {
    const refused = run('/bin/sh', 'gpu-check.sh', '--quick');
    expect(refused.status).toBe(2);
    expect(refused.stderr).toMatch(/only adapter is a software one|No GPU can be used/);
    const unknown = run('/bin/sh', 'gpu-check.sh', '--cases', 'gemm');
    expect(unknown.status).toBe(2);
    expect(unknown.stderr).toContain('there is no case "gemm"');
  });

  it('holds the whole command line: a study runs in it', () => {
    expect(run('tar', '-xJf', 'roundoff-gpu-check.tar.xz').status).toBe(0);
    const home = path.join(bare, 'roundoff-gpu-check');
    expect(existsSync(path.join(home, 'licences/libvulkan1.txt'))).toBe(true);
    const preset = JSON.parse(readFileSync(path.join(root, 'resources/recipes/first-study.json'), 'utf8')) as {
      variants: object[];
      benchmarks: object[];
      protocol: object;
    };
    const spec = {
      ...{ ...preset, backend: 'wasm', variants: preset.variants.slice(0, 1), benchmarks: preset.benchmarks.slice(0, 1) },
      protocol: { ...preset.protocol, seeds: [1], problemsPerBenchmark: 8, maxNewTokens: 32 },
    };
    writeFileSync(path.join(bare, 'study.json'), JSON.stringify(spec));
    const cli = path.join(home, 'out/main/cli.js');
    const { status, stdout, stderr } = run(path.join(home, 'node'), cli, 'study', 'run', 'study.json', '--project', 'a.roundoff', '--json');
    expect(status, stderr).toBe(0);
    expect((JSON.parse(stdout) as { rows: object[] }).rows).toHaveLength(2);
  });
});
