/**
 * Where AWQ (Lin et al. 2023) can scale input channels without changing what a layer computes: whatever produces an input is divided by t,
 * every linear that reads it is multiplied. Folding table of llm-awq and AutoAWQ for Llama and Qwen.
 */
import type { ModelConfig } from '../model/config.ts';
import type { LanguageModel } from '../model/language-model.ts';
import { type InputSite, siteModules } from '../model/layer-activations.ts';
import { hasBias, layerLinears, linearShape } from '../model/parameters.ts';

export interface AwqFold {
  /** What absorbs 1/t: a norm's weight, or the rows and bias of a linear; relative to the layer. */
  producer: 'input_layernorm' | 'self_attn.v_proj' | 'post_attention_layernorm' | 'mlp.up_proj';
  /** The linears that absorb t, relative to the layer. */
  consumers: readonly string[];
  site: InputSite;
  /** Whose output error decides about t. */
  inspected: 'attention' | 'mlp' | 'linear';
}

/** Values of a layer's parameters by full name. */
export type LayerValues = Map<string, Float32Array>;

/** The folds of any layer. Values pass to the attention's output only if neither grouped queries nor head sizes change their shape. */
export function awqFolds(config: ModelConfig): AwqFold[] {
  const shape = (name: string) => linearShape(config, `model.layers.0.${name}`).join();
  const fold = (producer: AwqFold['producer'], site: InputSite, inspected: AwqFold['inspected']): AwqFold => {
    return { producer, consumers: siteModules[site], site, inspected };
  };
  return [
    fold('input_layernorm', 'attentionInput', 'attention'),
    ...(shape('self_attn.v_proj') === shape('self_attn.o_proj') ? [fold('self_attn.v_proj', 'attentionOutput', 'linear')] : []),
    fold('post_attention_layernorm', 'mlpInput', 'mlp'),
    fold('mlp.up_proj', 'mlpOutput', 'linear'),
  ];
}

/** Weights of a layer's linears, and of what its folds change besides them. */
export async function readLayerValues(model: LanguageModel, index: number): Promise<LayerValues> {
  const values: LayerValues = new Map();
  const prefix = `model.layers.${index}`;
  const parameters = ['input_layernorm.weight', 'post_attention_layernorm.weight'].map((name) => `${prefix}.${name}`);
  const value = `${prefix}.self_attn.v_proj`;
  if (hasBias(model.config, value)) parameters.push(`${value}.bias`);
  for (const name of parameters) values.set(name, (await model.parameter(name).data<'float32'>()).slice());
  for (const name of layerLinears) {
    const tensor = model.linear(`${prefix}.${name}`).weight();
    values.set(`${prefix}.${name}.weight`, (await tensor.data<'float32'>()).slice());
    tensor.dispose();
  }
  return values;
}

/** Scales the channels of one fold by `t` [in]. Changed values are replaced, the old arrays stay as they are. */
export function applyFold(values: LayerValues, index: number, fold: AwqFold, t: Float32Array): void {
  const change = (name: string, factor: (at: number) => number) => {
    const current = values.get(name);
    if (current)
      values.set(
        name,
        current.map((value, at) => value * factor(at)),
      );
  };
  const prefix = `model.layers.${index}`;
  const divide = (name: string, perChannel: number) => change(name, (at) => 1 / t[Math.floor(at / perChannel)]!);
  const weight = `${prefix}.${fold.producer}.weight`;
  divide(weight, values.get(weight)!.length / t.length);
  divide(`${prefix}.${fold.producer}.bias`, 1);
  for (const consumer of fold.consumers) change(`${prefix}.${consumer}.weight`, (at) => t[at % t.length]!);
}
