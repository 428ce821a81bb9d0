/** The metadata that describes a decoder to llama.cpp: sizes, heads, rotary base, norm epsilon, and what the file's matrices are. */
import { RoundoffError } from '#contract/errors.ts';
import type { ModelConfig } from '../../model/config.ts';
import type { GgufFile } from './read.ts';
import { type GgufMetadata, type GgufScalar, type GgufTensorType, type GgufValue, ggufFileTypes } from './types.ts';

/** Version of the block layouts; stands in files that have any. */
const quantizationVersion = 2;

const uint32 = (value: number): GgufValue => ({ type: 'uint32', value });
const float32 = (value: number): GgufValue => ({ type: 'float32', value: Math.fround(value) });
const string = (value: string): GgufValue => ({ type: 'string', value });

/** Keys about the model and the file, without the tokenizer's. `notes` are stored as `roundoff.*`. */
export function modelMetadata(
  config: ModelConfig,
  type: GgufTensorType,
  { name, notes = {} }: { name: string; notes?: Record<string, string> | undefined },
): GgufMetadata {
  const metadata: GgufMetadata = new Map([
    ['general.architecture', string(config.architecture)],
    ['general.type', string('model')],
    ['general.name', string(name)],
    ['general.file_type', uint32(ggufFileTypes[type])],
  ]);
  if (type === 'Q4_0' || type === 'Q8_0') metadata.set('general.quantization_version', uint32(quantizationVersion));
  for (const [key, value] of Object.entries(notes)) metadata.set(`roundoff.${key}`, string(value));
  return new Map([...metadata, ...architectureKeys(config)]);
}

function architectureKeys(config: ModelConfig): GgufMetadata {
  const { architecture, headDim } = config;
  const keys: [string, GgufValue][] = [
    ['block_count', uint32(config.layers)],
    ['context_length', uint32(config.contextLength)],
    ['embedding_length', uint32(config.hiddenSize)],
    ['feed_forward_length', uint32(config.intermediateSize)],
    ['attention.head_count', uint32(config.heads)],
    ['attention.head_count_kv', uint32(config.kvHeads)],
    ['attention.key_length', uint32(headDim)],
    ['attention.value_length', uint32(headDim)],
    ['attention.layer_norm_rms_epsilon', float32(config.rmsNormEps)],
    ['rope.dimension_count', uint32(headDim)],
    ['rope.freq_base', float32(config.ropeTheta)],
    ['vocab_size', uint32(config.vocabSize)],
  ];
  return new Map(keys.map(([key, value]) => [`${architecture}.${key}`, value]));
}

/** Throws `model-invalid`, listing every key, unless the file describes the model `config`. */
export function checkMetadata(file: GgufFile, config: ModelConfig): void {
  const expected: GgufMetadata = new Map([['general.architecture', string(config.architecture)], ...architectureKeys(config)]);
  const problems: string[] = [];
  for (const [key, value] of expected) {
    const wanted = (value as { value: GgufScalar }).value;
    const found = file.scalar(key);
    if (found !== wanted) problems.push(`${key} is ${found ?? 'missing'}, not ${wanted}.`);
  }
  if (problems.length > 0)
    throw new RoundoffError('model-invalid', `${file.path} describes another model: ${problems[0]}`, 'Export the model again.', {
      problems,
    });
}
