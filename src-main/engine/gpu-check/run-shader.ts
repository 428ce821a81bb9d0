/** Runs single kernels of the GPU decode engine on plain arrays. */
import { gpu } from '../backends/webgpu/device.ts';
import { Buffers } from '../rollouts/gpu/buffers.ts';
import { kernelOf, Recorder, type Shader } from '../rollouts/gpu/program.ts';

export type Values = Float32Array | Uint32Array;

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
  const buffers = new Buffers();
  const bound = operands.map((values, index) => buffers.filled('operand', values, index === uniform ? GPUBufferUsage.UNIFORM : 0));
  const recorder = new Recorder();
  recorder.run(kernelOf(shader, bound), ...workgroups);
  recorder.submit();
  const results = [];
  for (const index of reads) results.push(await readBuffer(bound[index]!, operands[index]!));
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
