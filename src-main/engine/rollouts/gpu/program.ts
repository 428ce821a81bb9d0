/**
 * Compiled shaders, bind groups made once, and the recording of dispatches into one pass: all that a step costs in JavaScript is three calls
 * per kernel.
 */
import { compile } from '../../backends/webgpu/compute.ts';
import { gpu } from '../../backends/webgpu/device.ts';
import { timedPass } from '../../backends/webgpu/timing.ts';

export interface Program {
  name: string;
  pipeline: GPUComputePipeline;
  layout: GPUBindGroupLayout;
}

/** A whole WGSL module with the entry point `main`. */
export interface Shader {
  name: string;
  code: string;
}

/** A program with its buffers. */
export interface Kernel {
  name: string;
  pipeline: GPUComputePipeline;
  group: GPUBindGroup;
}

/** Models of one shape share their programs. */
const programs = new WeakMap<GPUDevice, Map<string, Program>>();

export function programOf({ name, code }: Shader): Program {
  const { device } = gpu();
  const compiled = programs.get(device) ?? new Map<string, Program>();
  programs.set(device, compiled);
  const known = compiled.get(code);
  if (known) return known;
  const pipeline = compile(name, code);
  const program = { name, pipeline, layout: pipeline.getBindGroupLayout(0) };
  compiled.set(code, program);
  return program;
}

/** @param buffers by binding number, from 0 */
export function kernelOf(shader: Shader, buffers: readonly (GPUBuffer | GPUBufferBinding)[]): Kernel {
  const { name, pipeline, layout } = programOf(shader);
  const entries = buffers.map((buffer, binding) => ({ binding, resource: 'buffer' in buffer ? buffer : { buffer } }));
  return { name, pipeline, group: gpu().device.createBindGroup({ label: name, layout, entries }) };
}

/** Records kernels one after the other; each sees what those before it wrote. */
export class Recorder {
  /** Dispatches recorded so far. */
  dispatches = 0;
  private readonly encoder: GPUCommandEncoder;
  private pass: GPUComputePassEncoder | null = null;

  constructor() {
    this.encoder = gpu().device.createCommandEncoder();
  }

  run({ name, pipeline, group }: Kernel, x: number, y = 1, z = 1): void {
    const timing = timedPass(name);
    if (timing) this.endPass();
    this.pass ??= this.encoder.beginComputePass(timing ?? {});
    this.pass.setPipeline(pipeline);
    this.pass.setBindGroup(0, group);
    this.pass.dispatchWorkgroups(x, y, z);
    this.dispatches++;
    if (timing) this.endPass();
  }

  copy(from: GPUBuffer, to: GPUBuffer, sizeBytes: number): void {
    this.endPass();
    this.encoder.copyBufferToBuffer(from, 0, to, 0, sizeBytes);
  }

  submit(): void {
    this.endPass();
    gpu().device.queue.submit([this.encoder.finish()]);
  }

  private endPass(): void {
    this.pass?.end();
    this.pass = null;
  }
}
