/** What a decoder layer of the engine does to activations: matrices and quantizers in buffers of their own, and the kernels before products. */
import { gpu } from '../../backends/webgpu/device.ts';
import { type InputSite, inputSites, type LayerActivations } from '../../model/layer-activations.ts';
import { activationSizes } from '../../model/parameters.ts';
import type { Buffers } from './buffers.ts';
import type { HeadActivations } from './kernels/cache.ts';
import { quantizerWordsOf, quantizeShader } from './kernels/token-grid.ts';
import { isWhole, transformGroups, transformShader } from './kernels/transform.ts';
import { type Kernel, kernelOf, type Recorder } from './program.ts';
import type { ActivationShape, EngineShape } from './shape.ts';
import type { Workspace } from './workspace.ts';

/** A dispatch of so many workgroups per row. */
interface RowKernel {
  kernel: Kernel;
  groups: number;
}

/** A buffer that takes values of the model's present settings. */
interface Filled {
  buffer: GPUBuffer;
  values(settings: LayerActivations): Float32Array;
}

export class ActivationKernels {
  /** What each product reads. */
  readonly inputs: Record<InputSite, GPUBuffer>;
  /** What is done to heads as they are appended to the cache, and the bindings for it. */
  readonly heads: HeadActivations;
  readonly headBindings: GPUBuffer[];
  private readonly kernels: Record<InputSite, RowKernel[]>;
  private readonly filled: Filled[] = [];
  private readonly buffers: Buffers;

  constructor(index: number, shape: EngineShape, workspace: Workspace, buffers: Buffers) {
    const { normed, mixed, activated, transformed } = workspace;
    this.buffers = buffers;
    this.inputs = { attentionInput: normed, attentionOutput: mixed, mlpInput: normed, mlpOutput: activated };
    this.kernels = { attentionInput: [], attentionOutput: [], mlpInput: [], mlpOutput: [] };
    const layer = shape.activations[index];
    const sizes = activationSizes(shape.config);
    for (const site of inputSites) {
      if (layer?.transforms[site]) this.transform(site, layer, transformed);
      else if (layer?.quantizers[site]) this.quantize(site, sizes[site]);
    }
    this.heads = {
      transformed: layer?.headTransforms ?? { queries: false, keys: false },
      quantized: { keys: Boolean(layer?.quantizers.keys), values: Boolean(layer?.quantizers.values) },
    };
    this.headBindings = this.createHeadBindings(shape.config.headDim);
  }

  /** Takes the settings' present matrices and clip factors. */
  fill(settings: LayerActivations | null): void {
    if (!settings) return;
    const { queue } = gpu().device;
    for (const { buffer, values } of this.filled) queue.writeBuffer(buffer, 0, values(settings) as Float32Array<ArrayBuffer>);
  }

  /** Prepares what the product of a site reads. */
  record(recorder: Recorder, site: InputSite, rows: number): void {
    for (const { kernel, groups } of this.kernels[site]) recorder.run(kernel, rows, groups);
  }

  private transform(site: InputSite, layer: ActivationShape, target: GPUBuffer): void {
    const shape = layer.transforms[site]!;
    const quantizes = layer.quantizers[site] !== null;
    const matrix = (name: 'left' | 'right', size: number) =>
      this.hold('transforms', size * size, (settings) => settings[site].transform![name]!);
    const matrices = [...(shape.left ? [matrix('left', shape.rows)] : []), ...(shape.right ? [matrix('right', shape.columns)] : [])];
    const together = quantizes && isWhole(shape);
    const bindings = [this.inputs[site], target, ...matrices, ...(together ? [this.inputQuantizer(site)] : [])];
    this.kernels[site].push({ kernel: kernelOf(transformShader(shape, together), bindings), groups: transformGroups(shape) });
    this.inputs[site] = target;
    if (quantizes && !together) this.quantize(site, shape.rows * shape.columns);
  }

  private quantize(site: InputSite, size: number): void {
    const kernel = kernelOf(quantizeShader(size), [this.inputs[site], this.inputQuantizer(site)]);
    this.kernels[site].push({ kernel, groups: 1 });
  }

  private inputQuantizer(site: InputSite): GPUBuffer {
    return this.hold('quantizers', 8, (settings) => quantizerWordsOf([settings[site].quantizer]), GPUBufferUsage.UNIFORM);
  }

  private createHeadBindings(headDim: number): GPUBuffer[] {
    const { transformed, quantized } = this.heads;
    const bindings: GPUBuffer[] = [];
    const count = Number(transformed.queries) + Number(transformed.keys);
    if (count > 0) bindings.push(this.hold('transforms', count * headDim ** 2, headMatrices));
    if (quantized.keys || quantized.values) {
      const words = ({ keys, values }: LayerActivations) => quantizerWordsOf([keys.quantizer, values.quantizer]);
      bindings.push(this.hold('quantizers', 16, words, GPUBufferUsage.UNIFORM));
    }
    return bindings;
  }

  private hold(label: string, words: number, values: Filled['values'], usage = 0): GPUBuffer {
    const buffer = this.buffers.storage(label, 4 * words, usage);
    this.filled.push({ buffer, values });
    return buffer;
  }
}

/** Of queries, then of keys. */
function headMatrices({ keys: { queryTransform, transform } }: LayerActivations): Float32Array {
  if (!queryTransform || !transform) return queryTransform ?? transform!;
  const both = new Float32Array(2 * transform.length);
  both.set(queryTransform);
  both.set(transform, transform.length);
  return both;
}
