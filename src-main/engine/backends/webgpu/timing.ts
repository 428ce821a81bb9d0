/** Time on the GPU by kernel, from timestamp queries: each dispatch that is timed runs in a pass of its own. */
import { RoundoffError } from '#contract/errors.ts';
import { gpu } from './device.ts';

export interface KernelTime {
  name: string;
  dispatches: number;
  milliseconds: number;
}

const mostPasses = 2048;

interface Recording {
  queries: GPUQuerySet;
  /** By pass; each has a query at its beginning and one at its end. */
  names: string[];
  dropped: number;
}

let recording: Recording | null = null;

/** Whether kernels are being timed already; recordings do not nest. */
export function isTiming(): boolean {
  return recording !== null;
}

/** What to begin a pass with whose time counts for `name`; null while nothing is timed, or where the recording is full. */
export function timedPass(name: string): GPUComputePassDescriptor | null {
  if (!recording) return null;
  if (recording.names.length >= mostPasses) {
    recording.dropped++;
    return null;
  }
  const first = 2 * recording.names.length;
  recording.names.push(name);
  return {
    label: name,
    timestampWrites: { querySet: recording.queries, beginningOfPassWriteIndex: first, endOfPassWriteIndex: first + 1 },
  };
}

/**
 * Runs `work`, which must have submitted everything when it ends, and returns the GPU's time by kernel, the longest first. Dispatches of the
 * tensor library's own programs are not counted, nor those after the first 2,048 (`dropped`).
 * @throws RoundoffError `unsupported` where the adapter has no timestamp queries
 */
export async function timeKernels(work: () => Promise<void>): Promise<{ kernels: KernelTime[]; dropped: number }> {
  const { device, timestamps, name, health } = gpu();
  if (!timestamps) throw new RoundoffError('unsupported', `The GPU ${name} has no timestamp queries.`, 'Measure wall time instead.');
  const queries = device.createQuerySet({ type: 'timestamp', count: 2 * mostPasses });
  recording = { queries, names: [], dropped: 0 };
  try {
    await work();
    const { names, dropped } = recording;
    recording = null;
    const times = names.length > 0 ? await health.wait(readQueries(device, queries, 2 * names.length)) : new BigUint64Array();
    return { kernels: sumByName(names, times), dropped };
  } finally {
    recording = null;
    queries.destroy();
  }
}

async function readQueries(device: GPUDevice, queries: GPUQuerySet, count: number): Promise<BigUint64Array> {
  const size = 8 * count;
  const resolved = device.createBuffer({ size, usage: GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC });
  const read = device.createBuffer({ size, usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ });
  const encoder = device.createCommandEncoder();
  encoder.resolveQuerySet(queries, 0, count, resolved, 0);
  encoder.copyBufferToBuffer(resolved, 0, read, 0, size);
  device.queue.submit([encoder.finish()]);
  await read.mapAsync(GPUMapMode.READ);
  const times = new BigUint64Array(read.getMappedRange().slice(0));
  resolved.destroy();
  read.destroy();
  return times;
}

function sumByName(names: readonly string[], times: BigUint64Array): KernelTime[] {
  const sums = new Map<string, KernelTime>();
  names.forEach((name, pass) => {
    const entry = sums.get(name) ?? { name, dispatches: 0, milliseconds: 0 };
    entry.dispatches++;
    entry.milliseconds += Number(times[2 * pass + 1]! - times[2 * pass]!) / 1e6;
    sums.set(name, entry);
  });
  return [...sums.values()].sort((a, b) => b.milliseconds - a.milliseconds);
}
