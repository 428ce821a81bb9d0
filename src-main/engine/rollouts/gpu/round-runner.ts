/** Writes a round's tables, records and submits it, and reads its outcomes back. */
import { gpu } from '../../backends/webgpu/device.ts';
import type { SamplingSettings } from '../settings.ts';
import { Buffers } from './buffers.ts';
import type { Decoder, SamplerKernel } from './decoder.ts';
import { samplerWords } from './kernels/sample.ts';
import { Recorder } from './program.ts';
import type { Round } from './schedule.ts';
import { outcomeBytes, type RowsFrom } from './workspace.ts';

export class RoundRunner {
  private readonly decoder: Decoder;
  private readonly maxNewTokens: number;
  private readonly samplers: Record<RowsFrom, SamplerKernel[]>;
  private readonly sizeBytes: number;
  /** Buffers for reading that are not in use. */
  private readonly idle: GPUBuffer[] = [];
  private readonly all: GPUBuffer[] = [];
  private readonly own = new Buffers();

  constructor(decoder: Decoder, settings: SamplingSettings, endTokens: readonly number[]) {
    this.decoder = decoder;
    this.maxNewTokens = settings.maxNewTokens;
    const { slots, config } = decoder.shape;
    const words = samplerWords({ vocabSize: config.vocabSize, slots }, settings, endTokens);
    this.samplers = decoder.samplers(settings, endTokens, this.own.filled('sampler settings', words, GPUBufferUsage.UNIFORM));
    this.sizeBytes = outcomeBytes(decoder.shape);
  }

  /** Submits the round; its outcomes as `Schedule.accept` takes them. */
  async start(round: Round): Promise<Uint32Array> {
    this.write(round);
    const recorder = new Recorder();
    const { decoder, samplers } = this;
    const { prompt, opened, decode, steps, copies, longest } = round;
    if (copies.length > 0) decoder.recordCopies(recorder, copies.length);
    if (prompt.length > 0) {
      decoder.record(recorder, 'prompt', prompt.length, opened.length, 0);
      if (opened.length > 0) for (const { kernel, perRow } of samplers.prompt) recorder.run(kernel, perRow, opened.length);
    }
    for (let step = 0; step < steps; step++) {
      decoder.record(recorder, 'state', decode.length, decode.length, longest);
      for (const { kernel, perRow } of samplers.state) recorder.run(kernel, perRow, decode.length);
    }
    const reading = this.readBuffer();
    recorder.copy(decoder.workspace.outcomes, reading, this.sizeBytes);
    recorder.submit();
    await reading.mapAsync(GPUMapMode.READ);
    const outcomes = new Uint32Array(reading.getMappedRange().slice(0));
    reading.unmap();
    this.idle.push(reading);
    return outcomes;
  }

  dispose(): void {
    for (const buffer of this.all) buffer.destroy();
    this.own.dispose();
  }

  private write({ copies, prompt, opened, decode, uniforms }: Round): void {
    const { places, selected, promptIds, decodeSlots, states, step, uniforms: numbers, copies: pairs } = this.decoder.workspace;
    const { queue } = gpu().device;
    const put = (buffer: GPUBuffer, values: number[]) => values.length > 0 && queue.writeBuffer(buffer, 0, Uint32Array.from(values));
    put(step, [0]);
    put(
      pairs,
      copies.flatMap(({ from, to, positions }) => [from, to, positions, 0]),
    );
    put(
      places.prompt,
      prompt.flatMap(({ slot, position }) => [slot, position]),
    );
    put(
      promptIds,
      prompt.map(({ id }) => id),
    );
    put(
      selected.prompt,
      opened.map(({ row }) => row),
    );
    put(decodeSlots, decode);
    for (const { slot, position } of opened) queue.writeBuffer(states, 16 * slot, Uint32Array.of(0, position, this.maxNewTokens, 0));
    queue.writeBuffer(numbers, 0, uniforms as Float32Array<ArrayBuffer>);
  }

  private readBuffer(): GPUBuffer {
    const known = this.idle.pop();
    if (known) return known;
    const buffer = gpu().device.createBuffer({ size: this.sizeBytes, usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ });
    this.all.push(buffer);
    return buffer;
  }
}
