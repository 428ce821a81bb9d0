/**
 * Draws a token from each row of logits as the sampler of the processor does (temperature, then top-k, then top-p; equal logits rank by id), and
 * advances the row's slot: its next token and position, and whether it goes on. The work over a large vocabulary is spread over chunks: two
 * kernels without limits, four with them, a single one where the vocabulary is one chunk.
 */
import type { SamplingSettings } from '../../settings.ts';
import { choicePass } from './sample-choice.ts';
import { binsPass, candidatesPass, peaksPass } from './sample-chunks.ts';
import { chunkCount, chunkTokens, type SamplerPass, type SamplerShape, settingWords, workWords } from './sample-common.ts';

export interface SamplerSizes {
  vocabSize: number;
  slots: number;
}

/** The kernels, in the order in which they run. */
export function samplerPasses({ vocabSize }: SamplerSizes, settings: SamplingSettings, endTokens: readonly number[]): SamplerPass[] {
  const { temperature, topK, topP } = settings;
  const draws = temperature > 0;
  const chunks = chunkCount(vocabSize);
  const shape: SamplerShape = {
    ...{ isWhole: chunks === 1, isAligned: vocabSize % 4 === 0, vectors: settingVectors(endTokens.length) },
    ...{ draws, byCount: draws && topK > 0 && topK < vocabSize, byMass: draws && topP < 1 },
  };
  if (shape.isWhole) return [choicePass(shape)];
  const limits = shape.byCount || shape.byMass ? [binsPass(shape, chunks), candidatesPass(shape, chunks)] : [];
  return [peaksPass(shape, chunks), ...limits, choicePass(shape)];
}

/** The rest of the settings, as the shaders read them from a uniform. */
export function samplerWords({ vocabSize, slots }: SamplerSizes, settings: SamplingSettings, endTokens: readonly number[]): Uint32Array {
  const { temperature, topK, topP } = settings;
  const bitsOf = (value: number) => new Uint32Array(Float32Array.of(value).buffer)[0]!;
  // As many units of a weight as do not overflow the sum of all.
  const fineness = 2 ** (32 - Math.ceil(Math.log2(vocabSize + 1)));
  const sizes = [vocabSize, chunkTokens(vocabSize), chunkCount(vocabSize), slots];
  const limits = [bitsOf(1 / (temperature || 1)), topK, Math.ceil(topP * 2 ** 31), bitsOf(fineness)];
  const words = new Uint32Array(4 * settingVectors(endTokens.length));
  words.set([...sizes, ...limits, endTokens.length, ...endTokens]);
  return words;
}

/** Bytes of the workspace of one row of logits. */
export function samplerWorkBytes(vocabSize: number): number {
  return 4 * workWords(vocabSize);
}

/** In few sizes, so that shaders are compiled for few. */
function settingVectors(endTokens: number): number {
  return 8 * Math.ceil((settingWords + endTokens) / 32);
}
