/**
 * Runs WGSL of our own on tensors of the webgpu backend: whole shaders, any number of inputs and outputs, in place where wanted, recorded into
 * the tensor library's open pass. Pipelines, bind groups and parameters are made once and used again.
 */
import * as tf from '@tensorflow/tfjs-core';
import { RoundoffError } from '#contract/errors.ts';
import { gpu } from './device.ts';
import { mostHeldBytes } from './most-held-bytes.ts';
import { timedPass } from './timing.ts';

/** What we use of tfjs-backend-webgpu's backend object (4.22.0). */
interface TensorBackend {
  tensorMap: { get(dataId: object): { resource?: GPUBuffer; values?: unknown } };
  commandQueueOwnedIds: WeakSet<object>;
  /** Tensors that were disposed of while recorded commands use them: their buffers are free after the next submit, which starts a new list. */
  tensorDataPendingDisposal: object[];
  commandEncoder: GPUCommandEncoder | null;
  computePassEncoder: GPUComputePassEncoder | null;
  dispatchCountInPass: number;
  uploadToGPU(dataId: object): void;
  makeTensorInfo(shape: number[], dtype: tf.DataType): tf.TensorInfo;
  ensureCommandEncoderReady(): void;
  endComputePassEncoder(): void;
  submitQueue(): void;
}

/** A part of a tensor or buffer, read as elements of a WGSL type of the caller's choice. */
export interface View {
  of: tf.TensorInfo | GPUBuffer;
  /** WGSL element type; by default f32, or i32 for int32 and bool tensors. */
  as?: string;
  /** Bytes; `offset` is a multiple of the device's storage alignment (256). */
  offset?: number;
  size?: number;
}

export type Operand = tf.TensorInfo | GPUBuffer | View;

export interface KernelDispatch {
  /** Names the shader: whatever differs in `code`, element types or `enable` needs a name of its own. */
  name: string;
  /** Extensions that the code uses. */
  enable?: readonly ('f16' | 'subgroups' | 'chromium_experimental_subgroup_matrix')[];
  /** Declared as `var<storage, read> name : array<type>`, in this order. */
  reads: Record<string, Operand>;
  /** Declared as `var<storage, read_write> name : array<type>`. */
  writes: Record<string, Operand>;
  /** u32 members of the uniform `parameters`, whole numbers from 0. */
  integers?: Record<string, number>;
  /** f32 members of it, after the integers. */
  floats?: Record<string, number>;
  /** WGSL with an entry point `main`; made only where the shader is not compiled yet. */
  code: () => string;
  /** Of the entry point's size. A plain number is folded over two dimensions where one does not hold it: use `groupNumber`. */
  workgroups: number | readonly [number, number, number];
}

/**
 * WGSL for a dispatch of a plain number of workgroups: `groupNumber(workgroup_id, num_workgroups)`. Folding can start more groups than asked for,
 * so compare it with the number of items.
 */
export const groupNumber = `
fn groupNumber(id : vec3<u32>, count : vec3<u32>) -> u32 { return id.y * count.x + id.x; }
`;

let held: { list: readonly object[]; counted: number; bytes: number } = { list: [], counted: 0, bytes: 0 };

const cachedParameters = 4096;
const cachedGroups = 16384;

interface Pipeline {
  id: number;
  pipeline: GPUComputePipeline;
  layout: GPUBindGroupLayout;
}

const pipelines = new Map<string, Pipeline>();
const parameterBuffers = new Map<string, GPUBuffer>();
const bindGroups = new Map<string, GPUBindGroup>();
const bufferIds = new WeakMap<GPUBuffer, number>();
let nextBuffer = 1;

/** A new tensor without values yet, for a kernel to write. */
export function emptyTensor(shape: readonly number[], dtype: tf.DataType = 'float32'): tf.TensorInfo {
  return tensorBackend().makeTensorInfo([...shape], dtype);
}

/** The buffer that holds a tensor; pending uploads are recorded first. */
export function bufferOf(tensor: tf.TensorInfo): GPUBuffer {
  const backend = tensorBackend();
  backend.uploadToGPU(tensor.dataId);
  return backend.tensorMap.get(tensor.dataId).resource!;
}

/** Records one dispatch after everything that was recorded before it. */
export function dispatch(spec: KernelDispatch): void {
  const backend = tensorBackend();
  const operands = [...Object.entries(spec.reads), ...Object.entries(spec.writes)].map(([name, operand]) => bind(name, operand));
  const pipeline = pipelineFor(spec, operands);
  const parameters = parameterBuffer(spec);
  const group = bindGroupFor(pipeline, operands, parameters);
  for (const { dataId } of operands) if (dataId) backend.commandQueueOwnedIds.add(dataId);
  // The library keeps a copy of what was read; after writing it would be the old values.
  for (const { dataId } of operands.slice(Object.keys(spec.reads).length)) if (dataId) backend.tensorMap.get(dataId).values = null;
  record(backend, spec.name, pipeline.pipeline, group, foldWorkgroups(spec.workgroups));
}

/** Submits what has been recorded, so that work on other encoders of this device comes after it. */
export function flush(): void {
  const backend = tensorBackend();
  if (!backend.commandEncoder) return;
  backend.endComputePassEncoder();
  backend.submitQueue();
}

/** Drops pipelines and buffers; for a device that is given up. */
export function forgetDevice(): void {
  for (const cache of [pipelines, parameterBuffers, bindGroups]) cache.clear();
}

/** Whole numbers of rows whose bytes one binding can hold, as (first row, rows); windows start where the device lets a binding start. */
export function rowWindows(rows: number, rowBytes: number): { first: number; rows: number }[] {
  const { maxStorageBufferBindingSize: most, minStorageBufferOffsetAlignment: alignment } = gpu().device.limits;
  const step = alignment / greatestDivisor(alignment, rowBytes);
  const held = Math.floor(most / rowBytes / step) * step;
  if (rows * rowBytes <= most) return [{ first: 0, rows }];
  if (held === 0) {
    throw new RoundoffError(
      'unsupported',
      `The GPU ${gpu().name} binds at most ${most} bytes at once, less than ${step} rows of ${rowBytes} bytes.`,
      'Choose the wasm backend.',
    );
  }
  return Array.from({ length: Math.ceil(rows / held) }, (_, index) => ({
    first: index * held,
    rows: Math.min(held, rows - index * held),
  }));
}

interface Bound {
  name: string;
  type: string;
  buffer: GPUBuffer;
  offset: number;
  size: number;
  dataId: object | null;
}

function bind(name: string, operand: Operand): Bound {
  const view: View = 'of' in operand ? operand : { of: operand };
  const { of, offset = 0 } = view;
  const isTensor = 'dataId' in of;
  const buffer = isTensor ? bufferOf(of) : of;
  const type = view.as ?? (isTensor && of.dtype !== 'float32' ? 'i32' : 'f32');
  return { name, type, buffer, offset, size: view.size ?? buffer.size - offset, dataId: isTensor ? of.dataId : null };
}

function pipelineFor(spec: KernelDispatch, operands: readonly Bound[]): Pipeline {
  const known = pipelines.get(spec.name);
  if (known) return known;
  const pipeline = compile(spec.name, shaderOf(spec, operands));
  const entry = { id: pipelines.size, pipeline, layout: pipeline.getBindGroupLayout(0) };
  pipelines.set(spec.name, entry);
  return entry;
}

/** A compiled shader with the entry point `main`. */
export function compile(label: string, code: string): GPUComputePipeline {
  const { device } = gpu();
  return device.createComputePipeline({ label, layout: 'auto', compute: { module: device.createShaderModule({ label, code }) } });
}

/** The whole module: declarations, then the code. */
function shaderOf(spec: KernelDispatch, operands: readonly Bound[]): string {
  const enables = (spec.enable ?? []).map((extension) => `enable ${extension};`);
  const reads = Object.keys(spec.reads).length;
  const bindings = operands.map(({ name, type }, index) => {
    const access = index < reads ? 'read' : 'read_write';
    return `@group(0) @binding(${index}) var<storage, ${access}> ${name} : array<${type}>;`;
  });
  const members = [
    ...Object.keys(spec.integers ?? {}).map((name) => `${name} : u32,`),
    ...Object.keys(spec.floats ?? {}).map((name) => `${name} : f32,`),
  ];
  const uniform =
    members.length === 0
      ? []
      : [`struct Parameters { ${members.join(' ')} }`, `@group(0) @binding(${operands.length}) var<uniform> parameters : Parameters;`];
  return [...enables, ...bindings, ...uniform, spec.code()].join('\n');
}

/** A buffer with these parameters; null for none. Kept by content, so that a repeated dispatch writes nothing. */
function parameterBuffer({ integers = {}, floats = {} }: KernelDispatch): GPUBuffer | null {
  const whole = Object.values(integers);
  const values = Object.values(floats);
  if (whole.length + values.length === 0) return null;
  const key = `${whole.join()}/${values.join()}`;
  const known = parameterBuffers.get(key);
  if (known) return known;
  if (parameterBuffers.size >= cachedParameters) dropParameters();
  const words = new Uint32Array(4 * Math.ceil((whole.length + values.length) / 4));
  words.set(whole);
  new Float32Array(words.buffer).set(values, whole.length);
  const { device } = gpu();
  const buffer = device.createBuffer({ size: words.byteLength, usage: GPUBufferUsage.UNIFORM, mappedAtCreation: true });
  new Uint32Array(buffer.getMappedRange()).set(words);
  buffer.unmap();
  parameterBuffers.set(key, buffer);
  return buffer;
}

/** Recorded commands read the buffers, so they are submitted before these go. */
function dropParameters(): void {
  flush();
  bindGroups.clear();
  for (const buffer of parameterBuffers.values()) buffer.destroy();
  parameterBuffers.clear();
}

function bindGroupFor({ id, layout }: Pipeline, operands: readonly Bound[], parameters: GPUBuffer | null): GPUBindGroup {
  let key = String(id);
  for (const { buffer, offset, size } of operands) key += `,${bufferId(buffer)}:${offset}:${size}`;
  if (parameters) key += `,${bufferId(parameters)}`;
  const known = bindGroups.get(key);
  if (known) return known;
  if (bindGroups.size >= cachedGroups) bindGroups.clear();
  const entries: GPUBindGroupEntry[] = operands.map(({ buffer, offset, size }, binding) => ({
    binding,
    resource: { buffer, offset, size },
  }));
  if (parameters) entries.push({ binding: operands.length, resource: { buffer: parameters } });
  const group = gpu().device.createBindGroup({ layout, entries });
  bindGroups.set(key, group);
  return group;
}

function bufferId(buffer: GPUBuffer): number {
  const known = bufferIds.get(buffer);
  if (known !== undefined) return known;
  bufferIds.set(buffer, nextBuffer);
  return nextBuffer++;
}

function record(
  backend: TensorBackend,
  name: string,
  pipeline: GPUComputePipeline,
  group: GPUBindGroup,
  workgroups: readonly [number, number, number],
): void {
  backend.ensureCommandEncoderReady();
  const timing = timedPass(name);
  if (timing) backend.endComputePassEncoder();
  backend.computePassEncoder ??= backend.commandEncoder!.beginComputePass(timing ?? {});
  const pass = backend.computePassEncoder;
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, group);
  pass.dispatchWorkgroups(...workgroups);
  if (timing) backend.endComputePassEncoder();
  backend.dispatchCountInPass++;
  const isFull = backend.dispatchCountInPass >= (tf.env().get('WEBGPU_DEFERRED_SUBMIT_BATCH_SIZE') as number);
  if (!isFull && heldBytes(backend) < mostHeldBytes) return;
  backend.endComputePassEncoder();
  backend.submitQueue();
}

/** Bytes of tensors that only recorded commands still need. */
function heldBytes({ tensorDataPendingDisposal: list, tensorMap }: TensorBackend): number {
  if (held.list !== list) held = { list, counted: 0, bytes: 0 };
  for (; held.counted < list.length; held.counted++) held.bytes += tensorMap.get(list[held.counted]!).resource?.size ?? 0;
  return held.bytes;
}

/** A number of workgroups over as many dimensions as it takes. */
export function foldWorkgroups(workgroups: number | readonly [number, number, number]): readonly [number, number, number] {
  if (typeof workgroups !== 'number') return workgroups;
  const most = gpu().device.limits.maxComputeWorkgroupsPerDimension;
  if (workgroups <= most) return [workgroups, 1, 1];
  const columns = Math.ceil(Math.sqrt(workgroups));
  return [columns, Math.ceil(workgroups / columns), 1];
}

function greatestDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestDivisor(b, a % b);
}

function tensorBackend(): TensorBackend {
  return tf.backend() as unknown as TensorBackend;
}
