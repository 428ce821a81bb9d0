/**
 * Times one training step of the toy model on the engine's wasm backend, and on the untouched tfjs wasm backend in a process of its own.
 */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { RoundoffError } from '#contract/errors.ts';
import { startWasm } from '../backends/wasm/backend.ts';
import { engineStep } from './toy-engine-step.ts';
import { createToyModel, disposeToyModel, toyTokens } from './toy-model.ts';

export interface StepTiming {
  /** Median over the timed steps. */
  millisecondsPerStep: number;
  fastestMilliseconds: number;
  tokensPerSecond: number;
  parameters: number;
  steps: number;
  /** Loss of the first and of the last step. */
  firstLoss: number;
  lastLoss: number;
}

/** Steps timed after `warmUp` untimed ones. */
export interface StepCounts {
  steps: number;
  warmUp: number;
}

/** Makes wasm the active backend and times our step. Leaves no tensors of the toy behind. */
export async function timeEngineStep(counts: StepCounts = { steps: 20, warmUp: 5 }): Promise<StepTiming> {
  await startWasm();
  return timeActiveStep(counts);
}

/** The same on whatever backend is active. */
export async function timeActiveStep(counts: StepCounts): Promise<StepTiming> {
  const model = createToyModel();
  const step = engineStep(model);
  try {
    return await timeSteps(step, model.variables, counts);
  } finally {
    step.dispose();
    disposeToyModel(model);
  }
}

/** Times the plain step on stock tfjs-backend-wasm in a child process. A step takes seconds there, so few suffice. */
export async function timeStockStep(counts: StepCounts = { steps: 3, warmUp: 1 }): Promise<StepTiming> {
  const script = fileURLToPath(new URL('./stock-training-step.ts', import.meta.url));
  const child = spawn(process.execPath, [script, JSON.stringify(counts)], { stdio: ['ignore', 'pipe', 'pipe'] });
  const output = { stdout: '', stderr: '' };
  child.stdout.on('data', (data) => {
    output.stdout += data;
  });
  child.stderr.on('data', (data) => {
    output.stderr += data;
  });
  const exitCode = await new Promise<number | null>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve);
  });
  const line = output.stdout.trim().split('\n').at(-1) ?? '';
  if (exitCode !== 0 || !line.startsWith('{')) {
    const message = `the stock backend's process ended with code ${exitCode}: ${output.stderr.trim().slice(-400)}`;
    throw new RoundoffError('internal', message, 'Run `roundoff bench` again; if it repeats, report it with this message.');
  }
  return JSON.parse(line) as StepTiming;
}

/** Runs and times a step function that returns its loss. */
export async function timeSteps(
  step: () => { data(): Promise<unknown>; dispose(): void },
  variables: { size: number }[],
  { steps, warmUp }: StepCounts,
): Promise<StepTiming> {
  const losses: number[] = [];
  const times: number[] = [];
  for (let i = 0; i < warmUp + steps; i++) {
    const start = performance.now();
    const loss = step();
    losses.push(((await loss.data()) as Float32Array)[0]!);
    loss.dispose();
    if (i >= warmUp) times.push(performance.now() - start);
  }
  times.sort((a, b) => a - b);
  const median = times[Math.floor(times.length / 2)]!;
  return {
    millisecondsPerStep: median,
    fastestMilliseconds: times[0]!,
    tokensPerSecond: (toyTokens / median) * 1000,
    parameters: variables.reduce((sum, { size }) => sum + size, 0),
    steps,
    firstLoss: losses[0]!,
    lastLoss: losses.at(-1)!,
  };
}
