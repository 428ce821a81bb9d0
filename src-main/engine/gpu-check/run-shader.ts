/** Runs kernels of the GPU decode engine on plain arrays. */
import { gpu } from '../backends/webgpu/device.ts';
import { Buffers } from '../rollouts/gpu/buffers.ts';
import { kernelOf, Recorder, type Shader } from '../rollouts/gpu/program.ts';

export type Values = Float32Array | Uint32Array;

export interface ShaderRun {
  shader: Shader;
  /** Names of the operands, in the order of the bindings. */
  buffers: readonly string[];
  workgroups: readonly [number, number?, number?];
}

/**
 * Runs a shader on copies of the operands, in the order of its bindings; what those of `reads` hold afterwards.
 * @param uniform which of the operands is a uniform
 */
export async function runShader(
  shader: Shader,
  operands: readonly Values[],
  workgroups: readonly [number, number?, number?],
  { reads, uniform }: { reads: readonly number[]; uniform?: number },
): Promise<Values[]> {
  const named = Object.fromEntries(operands.entries());
  const uniforms = uniform === undefined ? [] : [String(uniform)];
  return runShaders([{ shader, buffers: operands.map((_, index) => String(index)), workgroups }], named, {
    reads: reads.map(String),
    uniforms,
  });
}

/** The same for several shaders one after the other, on operands by name. */
export async function runShaders(
  runs: readonly ShaderRun[],
  operands: Record<string, Values>,
  { reads, uniforms }: { reads: readonly string[]; uniforms: readonly string[] },
): Promise<Values[]> {
  const buffers = new Buffers();
  const bound = new Map(
    Object.entries(operands).map(([name, values]) => [
      name,
      buffers.filled('operand', values, uniforms.includes(name) ? GPUBufferUsage.UNIFORM : 0),
    ]),
  );
  const recorder = new Recorder();
  for (const { shader, buffers: names, workgroups } of runs) {
    recorder.run(
      kernelOf(
        shader,
        names.map((name) => bound.get(name)!),
      ),
      ...workgroups,
    );
  }
  recorder.submit();
  const results = [];
  for (const name of reads) results.push(await readBuffer(bound.get(name)!, operands[name]!));
  buffers.dispose();
  return results;
}

/** As many values of the kind of `like` as it has. */
async function readBuffer<T extends Values>(buffer: GPUBuffer, like: T): Promise<T> {
  const { device, health } = gpu();
  const size = Math.max(16, like.byteLength);
  const read = device.createBuffer({ size, usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ });
  const recorder = new Recorder();
  recorder.copy(buffer, read, Math.min(size, buffer.size));
  recorder.submit();
  await health.wait(read.mapAsync(GPUMapMode.READ));
  const bytes = read.getMappedRange().slice(0, like.byteLength);
  read.destroy();
  return (like instanceof Float32Array ? new Float32Array(bytes) : new Uint32Array(bytes)) as T;
}
