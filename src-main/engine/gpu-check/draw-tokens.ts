/** Runs the sampler of the GPU decode engine on rows of logits. */
import { samplerPasses, samplerWords, samplerWorkBytes } from '../rollouts/gpu/kernels/sample.ts';
import type { SamplingSettings } from '../rollouts/settings.ts';
import { runShaders } from './run-shader.ts';

export interface DrawnToken {
  token: number;
  logprob: number;
  /** Of the row's slot afterwards: next token, position, tokens left. It was at position 3 with 5 tokens left. */
  state: number[];
}

/** One token per uniform number, from `logits` [rows, vocab]; the rows listed in `idle` belong to slots that have ended. */
export async function drawTokens(
  logits: Float32Array,
  settings: SamplingSettings,
  uniforms: Float32Array,
  { idle = [] }: { idle?: readonly number[] } = {},
): Promise<DrawnToken[]> {
  const slots = uniforms.length;
  const sizes = { vocabSize: logits.length / slots, slots };
  const operands = {
    logits,
    rows: Uint32Array.from({ length: 2 * slots }, (_, i) => (i % 2 === 0 ? i / 2 : idle.includes((i - 1) / 2) ? 0xffffffff : 3)),
    selected: Uint32Array.from({ length: slots }, (_, row) => row),
    states: Uint32Array.from({ length: 4 * slots }, (_, i) => [0, 3, 5, 0][i % 4]!),
    outcomes: new Uint32Array(4 * slots),
    step: Uint32Array.of(1),
    uniforms: Float32Array.of(...uniforms, ...uniforms),
    work: new Uint32Array((slots * samplerWorkBytes(sizes.vocabSize)) / 4).fill(0xabababab),
    settings: samplerWords(sizes, settings, settings.stopTokenIds),
  };
  const runs = samplerPasses(sizes, settings, settings.stopTokenIds).map(({ shader, buffers, perRow }) => ({
    shader,
    buffers,
    workgroups: [perRow, slots] as const,
  }));
  const [states, outcomes] = await runShaders(runs, operands, { reads: ['states', 'outcomes'], uniforms: ['settings'] });
  const bits = new Float32Array(outcomes!.buffer);
  return Array.from({ length: slots }, (_, row) => ({
    token: outcomes![2 * (slots + row)]!,
    logprob: bits[2 * (slots + row) + 1]!,
    state: [...states!.subarray(4 * row, 4 * row + 3)],
  }));
}
