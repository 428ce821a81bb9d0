/**
 * Measures which kernel multiplies a kind of product fastest on this adapter: once per transposes, types, precision and size class, the first
 * time a large product of the kind is seen. It goes on beside the run, which uses register tiles meanwhile, and later runs read the result from
 * the cache. Trials are bounded in number and size, so they take some tenths of a second. A kernel that the adapter refuses, or that does not
 * compute what the first one does, is left out.
 */
import { flush } from '../compute.ts';
import { gpu } from '../device.ts';
import { isTiming, timeKernels } from '../timing.ts';
import type { Kernel } from './choose.ts';
import type { ElementType } from './operands.ts';
import type { Product } from './product.ts';
import { type Trial, trialOf } from './trial.ts';
import { readWinners, tuneFolder, writeWinners } from './tune-cache.ts';

/** Multiply-adds from which on a product is worth measuring, and the largest side of a trial. */
const worthwhile = 2 ** 27;
const largestSide = 2048;
const trials = 3;
const mostKinds = 32;

type Run = (product: Product, kernel: Kernel) => void;

let device: GPUDevice | null = null;
let winners = new Map<string, string>();
const asked = new Set<string>();
let working: Promise<void> = Promise.resolve();

/** The candidate measured to be fastest; null where that is not known (yet), or the product is too small to matter. */
export function winner(product: Product, candidates: readonly Kernel[], run: Run): Kernel | null {
  if (product.m * product.n * product.k < worthwhile || candidates.length < 2) return null;
  start();
  const kind = kindOf(product);
  const name = winners.get(kind);
  const known = candidates.find((kernel) => kernelName(kernel) === name);
  if (known) return known;
  if (!asked.has(kind) && asked.size < mostKinds) {
    asked.add(kind);
    // A failure is the device's, which every later wait for it reports.
    working = working.then(() => tune(kind, product, candidates, run)).catch(() => {});
  }
  return null;
}

/** Ends when everything that was asked for has been measured. */
export async function tuned(): Promise<void> {
  await working;
}

/** Reads the cache for a device that is new here. */
function start(): void {
  if (device === gpu().device) return;
  device = gpu().device;
  winners = readWinners(tuneFolder(), gpu().name);
  asked.clear();
}

async function tune(kind: string, product: Product, candidates: readonly Kernel[], run: Run): Promise<void> {
  const on = gpu().device;
  const trial = trialOf(product, typeB(product), largestSide);
  try {
    let expected: Float32Array | null = null;
    let best = Number.POSITIVE_INFINITY;
    for (const kernel of candidates) {
      const result = await resultOf(trial, () => run(trial.product, kernel));
      if (device !== on) return;
      expected ??= result;
      if (!result || !expected || !equal(result, expected)) continue;
      const milliseconds = await measure(() => run(trial.product, kernel));
      if (milliseconds >= best) continue;
      best = milliseconds;
      winners.set(kind, kernelName(kernel));
    }
    keep();
  } finally {
    trial.destroy();
  }
}

/** What a kernel computes; null where the adapter refuses it, which costs the device nothing. */
async function resultOf(trial: Trial, work: () => void): Promise<Float32Array | null> {
  const { device, health } = gpu();
  trial.clear();
  device.pushErrorScope('validation');
  work();
  flush();
  if (await health.wait(device.popErrorScope())) return null;
  return trial.result();
}

function equal(a: Float32Array, b: Float32Array): boolean {
  return a.every((value, index) => value === b[index]);
}

function keep(): void {
  try {
    writeWinners(tuneFolder(), gpu().name, winners);
  } catch {
    // A folder that cannot be written costs the next run a measurement, no more.
  }
}

/** Milliseconds of the fastest trial: the GPU's own time, or where it keeps none that until it has answered. */
async function measure(work: () => void): Promise<number> {
  const { timestamps } = gpu();
  const times: number[] = [];
  for (let i = 0; i < trials; i++) times.push(await (timestamps && !isTiming() ? passTime(work) : wallTime(work)));
  return Math.min(...times);
}

async function wallTime(work: () => void): Promise<number> {
  const { device, health } = gpu();
  flush();
  const start = performance.now();
  work();
  flush();
  await health.wait(device.queue.onSubmittedWorkDone());
  return performance.now() - start;
}

async function passTime(work: () => void): Promise<number> {
  // Nothing else is recorded meanwhile: the work is recorded and submitted without waiting.
  const { kernels } = await timeKernels(async () => {
    flush();
    work();
    flush();
  });
  return kernels.reduce((sum, { milliseconds }) => sum + milliseconds, 0);
}

/** What is computed from packed weights goes by what f32 gives. */
function typeB({ b }: Pick<Product, 'b'>): ElementType {
  return 'code' in b ? 'f32' : b.type;
}

/** Everything that may make another kernel the fastest; sizes by powers of two. */
function kindOf({ a, b, transA, transB, precision, m, n, k, inner, outer }: Product): string {
  const types = `${a.type}${transA ? 't' : 'n'}-${typeB({ b })}${transB ? 't' : 'n'}`;
  const sizes = [m, n, k].map((side) => Math.min(Math.round(Math.log2(side)), Math.log2(largestSide)));
  return `${types}-${precision}-${sizes.join('.')}${inner.count * outer.count > 1 ? '-batch' : ''}`;
}

export function kernelName(kernel: Kernel): string {
  return 'shape' in kernel ? `${kernel.kind} ${JSON.stringify(kernel.shape)}` : kernel.kind;
}
