/** One linear of the engine as it is dispatched: windows of its weights that a binding can hold, and a form for every number of rows. */
import { rowWindows } from '../../backends/webgpu/compute.ts';
import { gpu } from '../../backends/webgpu/device.ts';
import type { Buffers } from './buffers.ts';
import { lanesProduct, lanesWorkgroups } from './kernels/lanes.ts';
import { type Epilogue, type ProductShape, tilesProduct } from './kernels/products.ts';
import { partWords, type WeightPart, weightParts } from './kernels/weight-format.ts';
import { type Kernel, kernelOf, type Recorder } from './program.ts';
import { tileRows } from './shape.ts';
import type { Stack } from './weights.ts';

/** Fewer workgroups than this leave a GPU idle, so tiles get narrower. */
const enoughWorkgroups = 128;

/** Rows of a stack that one binding holds. */
export interface RowWindow {
  first: number;
  rows: number;
}

interface Window {
  shape: ProductShape;
  bindings: (GPUBuffer | GPUBufferBinding)[];
}

export class Product {
  private readonly windows: Window[];
  private readonly kernels = new Map<string, Kernel>();

  /** @param stride values from one row of y to the next */
  constructor(
    stack: Stack,
    { x, y, stride, epilogue }: { x: GPUBuffer; y: GPUBuffer; stride: number; epilogue: Epilogue },
    buffers: Buffers,
  ) {
    const { inFeatures, format } = stack.plan;
    this.windows = windowsOf(stack).map((window) => {
      const place = buffers.filled('places', Uint32Array.of(window.first, 0, 0, 0), GPUBufferUsage.UNIFORM);
      const weights = weightParts(format).map((part) => windowBinding(stack, part, window));
      const shape = { format, inFeatures, outFeatures: window.rows, stride, bias: stack.bias !== null, epilogue };
      return { shape, bindings: [x, y, place, ...(stack.bias ? [stack.bias] : []), ...weights] };
    });
  }

  /** For a few rows, a power of two up to 8. */
  recordLanes(recorder: Recorder, rows: number): void {
    this.windows.forEach((window, index) => {
      const kernel = this.kernel(`lanes ${rows} ${index}`, window, () => lanesProduct(window.shape, rows));
      recorder.run(kernel, lanesWorkgroups(window.shape));
    });
  }

  /** For any number of rows; x and y hold whole tiles. */
  recordTiles(recorder: Recorder, rows: number): void {
    const down = tileRows(rows);
    this.windows.forEach((window, index) => {
      const { outFeatures } = window.shape;
      const groups = (columns: number) => Math.ceil(outFeatures / columns) * Math.ceil(rows / down);
      const columns = [64, 32].find((candidate) => groups(candidate) >= enoughWorkgroups) ?? 16;
      const kernel = this.kernel(`tiles ${down} ${columns} ${index}`, window, () => tilesProduct(window.shape, { rows: down, columns }));
      recorder.run(kernel, Math.ceil(outFeatures / columns), Math.ceil(rows / down));
    });
  }

  private kernel(key: string, { bindings }: Window, shader: () => Parameters<typeof kernelOf>[0]): Kernel {
    const known = this.kernels.get(key);
    if (known) return known;
    const kernel = kernelOf(shader(), bindings);
    this.kernels.set(key, kernel);
    return kernel;
  }
}

export function windowBinding({ plan, parts }: Stack, part: WeightPart, { first, rows }: RowWindow): GPUBuffer | GPUBufferBinding {
  if (part === 'groupIndex' || rows === plan.outFeatures) return parts[part]!;
  const rowBytes = 4 * partWords(plan.format, part, plan.inFeatures);
  return { buffer: parts[part]!, offset: first * rowBytes, size: rows * rowBytes };
}

export function windowsOf({ plan }: Stack): RowWindow[] {
  const { format, inFeatures, outFeatures } = plan;
  const parts = weightParts(format).filter((part) => part !== 'groupIndex');
  const largest = Math.max(...parts.map((part) => 4 * partWords(format, part, inFeatures)));
  const most = gpu().device.limits.maxStorageBufferBindingSize;
  if (outFeatures * largest <= most) return [{ first: 0, rows: outFeatures }];
  // Rows whose every part begins where a binding may begin.
  const step = 64;
  return rowWindows(Math.ceil(outFeatures / step), largest * step).map(({ first, rows }) => ({
    first: first * step,
    rows: Math.min(rows * step, outFeatures - first * step),
  }));
}
