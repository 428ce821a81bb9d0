/**
 * Names and shapes of a model's parameters, in Hugging Face's naming, derived from its configuration alone.
 */
import { decoderModules, type LayerLinear, layerLinears } from '#contract/overrides.ts';
import type { ModelConfig } from './config.ts';

export const embeddingName = 'model.embed_tokens.weight';
export const finalNormName = 'model.norm.weight';
export const headName = 'lm_head.weight';

export { type LayerLinear, layerLinears };

/** Module names of all decoder linears in execution order: q, k, v, o, gate, up, down of each layer. */
export function decoderLinears(config: ModelConfig): string[] {
  return decoderModules(config.layers);
}

/** [out, in] of a decoder linear. */
export function linearShape(config: ModelConfig, module: string): [number, number] {
  const queries = config.heads * config.headDim;
  const keys = config.kvHeads * config.headDim;
  const shapes: Record<LayerLinear, [number, number]> = {
    'self_attn.q_proj': [queries, config.hiddenSize],
    'self_attn.k_proj': [keys, config.hiddenSize],
    'self_attn.v_proj': [keys, config.hiddenSize],
    'self_attn.o_proj': [config.hiddenSize, queries],
    'mlp.gate_proj': [config.intermediateSize, config.hiddenSize],
    'mlp.up_proj': [config.intermediateSize, config.hiddenSize],
    'mlp.down_proj': [config.hiddenSize, config.intermediateSize],
  };
  return shapes[module.split('.').slice(3).join('.') as LayerLinear];
}

/** Sizes of what a layer's linears read, and of a head. */
export function activationSizes(config: ModelConfig) {
  const { hiddenSize, intermediateSize, heads, headDim } = config;
  return { attentionInput: hiddenSize, attentionOutput: heads * headDim, mlpInput: hiddenSize, mlpOutput: intermediateSize, headDim };
}

export function hasBias(config: ModelConfig, module: string): boolean {
  if (module.endsWith('o_proj')) return config.outputBias;
  return config.attentionBias && module.includes('self_attn');
}

/** Every parameter of the dense model with its shape, in execution order. */
export function parameterShapes(config: ModelConfig): Map<string, number[]> {
  const shapes = new Map<string, number[]>([[embeddingName, [config.vocabSize, config.hiddenSize]]]);
  for (let layer = 0; layer < config.layers; layer++) addLayer(shapes, config, `model.layers.${layer}`);
  shapes.set(finalNormName, [config.hiddenSize]);
  if (!config.tiedEmbeddings) shapes.set(headName, [config.vocabSize, config.hiddenSize]);
  return shapes;
}

function addLayer(shapes: Map<string, number[]>, config: ModelConfig, prefix: string): void {
  shapes.set(`${prefix}.input_layernorm.weight`, [config.hiddenSize]);
  for (const name of layerLinears) {
    const module = `${prefix}.${name}`;
    const [outFeatures, inFeatures] = linearShape(config, module);
    shapes.set(`${module}.weight`, [outFeatures, inFeatures]);
    if (hasBias(config, module)) shapes.set(`${module}.bias`, [outFeatures]);
  }
  if (config.qkNorm) {
    shapes.set(`${prefix}.self_attn.q_norm.weight`, [config.headDim]);
    shapes.set(`${prefix}.self_attn.k_norm.weight`, [config.headDim]);
  }
  shapes.set(`${prefix}.post_attention_layernorm.weight`, [config.hiddenSize]);
}

/** Number of values over all parameters. */
export function parameterCount(config: ModelConfig): number {
  let count = 0;
  for (const shape of parameterShapes(config).values()) count += shape.reduce((size, length) => size * length, 1);
  return count;
}
