/** A small study on the sample model by the command line that users have, on the GPU and on the processor: both must come to the same table. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

export interface StudyReport {
  /** Average accuracies, 0 to 1. */
  rows: { recipe: string; gpu: number; processor: number }[];
  milliseconds: { gpu: number; processor: number };
  /** Largest difference of an average that counts as the same: without sampling only near-ties between two tokens are decided differently. */
  tolerance: number;
  problems: number;
}

interface ShownStudy {
  rows: { recipe: string; average: { value: number } | null }[];
}

/** @throws Error when a study fails or does not end in time */
export async function runStudies(root: string, quick: boolean, deadline: number): Promise<StudyReport> {
  const dir = await mkdtemp(path.join(tmpdir(), 'roundoff-gpu-check-study-'));
  try {
    const problemsPerBenchmark = quick ? 4 : 60;
    const run = async (backend: 'webgpu' | 'wasm') => {
      const file = path.join(dir, `${backend}.json`);
      await writeFile(file, JSON.stringify(await studySpec(root, backend, quick, problemsPerBenchmark)));
      const started = performance.now();
      const shown = runCommand(root, ['study', 'run', file, '--project', path.join(dir, `${backend}.roundoff`), '--json'], deadline);
      return { shown: JSON.parse(shown) as ShownStudy, elapsedMs: performance.now() - started };
    };
    const [gpu, processor] = [await run('webgpu'), await run('wasm')];
    const rows = processor.shown.rows.map(({ recipe, average }, index) => ({
      recipe,
      gpu: gpu.shown.rows[index]?.average?.value ?? Number.NaN,
      processor: average?.value ?? Number.NaN,
    }));
    const problems = problemsPerBenchmark * (quick ? 1 : 5);
    const milliseconds = { gpu: gpu.elapsedMs, processor: processor.elapsedMs };
    return { rows, milliseconds, problems, tolerance: Math.max(0.03, 1 / problems) };
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

/** The first study, shortened and without sampling. */
async function studySpec(root: string, backend: string, quick: boolean, problemsPerBenchmark: number): Promise<object> {
  const preset = JSON.parse(await readFile(path.join(root, 'resources/recipes/first-study.json'), 'utf8')) as {
    variants: { name: string }[];
    benchmarks: object[];
    protocol: object;
  };
  const names = quick ? ['RTN W4G128'] : ['RTN W4G128', 'GPTQ W3G128'];
  return {
    ...preset,
    backend,
    variants: preset.variants.filter(({ name }) => names.includes(name)),
    benchmarks: quick ? preset.benchmarks.slice(0, 1) : preset.benchmarks,
    protocol: { ...preset.protocol, temperature: 0, seeds: [42], problemsPerBenchmark, ...(quick && { maxNewTokens: 64 }) },
  };
}

function runCommand(root: string, args: string[], deadline: number): string {
  const limitMs = deadline - performance.now();
  if (limitMs < 1000) throw new Error('no time was left for it');
  const built = path.join(root, 'out/main/cli.js');
  const entry = existsSync(path.join(root, 'src-main')) ? path.join(root, 'src-main/cli/index.ts') : built;
  const { status, stdout, stderr, error } = spawnSync(process.execPath, [entry, ...args], {
    ...{ encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], maxBuffer: 2 ** 28, timeout: Math.round(limitMs), killSignal: 'SIGKILL' },
    env: { ...process.env, ROUNDOFF_NODE: process.execPath },
  });
  if (status === 0) return stdout;
  if ((error as NodeJS.ErrnoException | undefined)?.code === 'ETIMEDOUT')
    throw new Error(`it took more than ${Math.round(limitMs / 1000)} s`);
  const words = stderr.split(/[\r\n]/).filter((line) => line.trim() !== '' && !line.startsWith('Warning:'));
  throw new Error(error?.message ?? words.slice(-3).join(' '));
}
