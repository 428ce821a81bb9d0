/**
 * One decoder for Qwen3, Qwen2 and Llama: configuration, named parameters, and the forward pass. Every linear goes through a
 * `LinearOp`, so quantizers and trainers change how a linear computes without touching this file.
 */
import * as tf from '@tensorflow/tfjs-core';
import type { StoredLinear } from '../formats/stored-linear.ts';
import { causalAttention, embedding, linear, rmsNorm, rotaryEmbedding, swiglu } from '../ops/index.ts';
import type { ModelConfig } from './config.ts';
import { ActivationOps, type InputSite, isPlain, type LayerActivations } from './layer-activations.ts';
import { DenseLinear, type LinearOp, type ParameterMap } from './linear-op.ts';
import { decoderLinears, embeddingName, finalNormName, headName } from './parameters.ts';
import { RotaryCache } from './rotary-cache.ts';

export type { LinearOp, ParameterMap } from './linear-op.ts';
export { decoderLinears } from './parameters.ts';

export interface LayerHooks {
  /**
   * Called with the input [rows, in] of every decoder linear, before it computes: transformed, not yet quantized. The tensor lives until
   * the call returns.
   */
  onLinearInput?(module: string, input: tf.Tensor2D): void;
  /**
   * Of sequences that lie one after the other in a batch of one row: positions begin anew with each, and attention stays within it. Without
   * them each row is one sequence.
   */
  lengths?: readonly number[] | undefined;
}

export class LanguageModel {
  /** Changed by `untie` alone. */
  config: Readonly<ModelConfig>;
  /** Hugging Face names. The model owns the tensors and disposes them; a trainer may replace an entry with another tensor of its shape. */
  readonly parameters: ParameterMap;
  /** Angle tables, shared with generation. */
  readonly rotary: RotaryCache;
  private readonly linears = new Map<string, LinearOp>();
  private readonly activations = new Map<number, ActivationOps>();

  constructor(config: ModelConfig, parameters: ParameterMap) {
    this.config = config;
    this.parameters = parameters;
    this.rotary = new RotaryCache(config);
    for (const module of decoderLinears(config)) this.linears.set(module, new DenseLinear(parameters, module));
  }

  /** Final hidden states [batch, seq, hidden], after the final norm, of ids [batch, seq] (int32). */
  forward(ids: tf.Tensor2D, hooks: LayerHooks = {}): tf.Tensor3D {
    return tf.tidy(() => {
      let hidden = this.embed(ids);
      for (let index = 0; index < this.config.layers; index++) {
        const next = this.layer(index, hidden, hooks);
        hidden.dispose();
        hidden = next;
      }
      return this.finalNorm(hidden);
    });
  }

  /** [..., hidden] → [..., vocab]. */
  logits(hidden: tf.Tensor): tf.Tensor {
    return linear(hidden, this.headWeight());
  }

  /** [batch, seq] → [batch, seq, hidden]. */
  embed(ids: tf.Tensor2D): tf.Tensor3D {
    return embedding(this.parameter(embeddingName) as tf.Tensor2D, ids) as tf.Tensor3D;
  }

  /** One decoder layer with full causal attention from position 0; [batch, seq, hidden] → the same. */
  layer(index: number, hidden: tf.Tensor3D, hooks: LayerHooks = {}): tf.Tensor3D {
    return tf.tidy(() => {
      const prefix = `model.layers.${index}`;
      const attended = tf.add(hidden, this.attention(index, this.norm(`${prefix}.input_layernorm`, hidden), hooks)) as tf.Tensor3D;
      const mlp = this.mlp(index, this.norm(`${prefix}.post_attention_layernorm`, attended), hooks);
      return tf.add(attended, tf.reshape(mlp, attended.shape));
    });
  }

  finalNorm(hidden: tf.Tensor3D): tf.Tensor3D {
    return rmsNorm(hidden, this.parameter(finalNormName) as tf.Tensor1D, { epsilon: this.config.rmsNormEps });
  }

  /** How a decoder linear computes. */
  linear(module: string): LinearOp {
    const op = this.linears.get(module);
    if (!op) throw new Error(`${module} is not a decoder linear of this model`);
    return op;
  }

  /** The stored form of every packed linear, by module, read back from the backend. */
  async storedLinears(): Promise<Map<string, StoredLinear>> {
    const stored = new Map<string, StoredLinear>();
    for (const [module, op] of this.linears) {
      const linear = await op.stored();
      if (linear) stored.set(module, linear);
    }
    return stored;
  }

  /** Transforms and activation quantizers of a layer; null for plain float activations. */
  setActivations(index: number, settings: LayerActivations | null): void {
    this.activations.get(index)?.dispose();
    this.activations.delete(index);
    if (settings && !isPlain(settings)) this.activations.set(index, new ActivationOps(settings));
  }

  /** What is done to a layer's activations, or null for nothing. */
  activationOps(index: number): ActivationOps | null {
    return this.activations.get(index) ?? null;
  }

  /** By layer; null where activations are plain. */
  layerActivations(): (LayerActivations | null)[] {
    return Array.from({ length: this.config.layers }, (_, index) => this.activations.get(index)?.settings ?? null);
  }

  /** Replaces (or adds) a parameter's values. */
  setParameter(name: string, values: Float32Array, shape: readonly number[]): void {
    this.parameters.get(name)?.dispose();
    this.parameters.set(name, tf.keep(tf.tensor(values, [...shape])));
  }

  /** Replaces how a decoder linear computes. The model takes ownership; an op with weights of its own also frees the dense weight. */
  setLinear(module: string, op: LinearOp): void {
    const previous = this.linear(module);
    if (previous !== op) previous.dispose();
    this.linears.set(module, op);
    if (op.kind !== 'packed' && op.kind !== 'half') return;
    this.parameters.get(`${module}.weight`)?.dispose();
    this.parameters.delete(`${module}.weight`);
  }

  /** Replaces how a decoder linear computes by something around how it computes now, which the new op owns. */
  wrapLinear(module: string, wrap: (base: LinearOp) => LinearOp): void {
    this.linears.set(module, wrap(this.linear(module)));
  }

  /** Frees all parameters, packed weights and transforms of layer `index`; it can be given new ones. */
  releaseLayer(index: number): void {
    const prefix = `model.layers.${index}.`;
    this.setActivations(index, null);
    for (const [module, op] of this.linears) {
      if (!module.startsWith(prefix)) continue;
      op.dispose();
      this.linears.set(module, new DenseLinear(this.parameters, module));
    }
    for (const name of [...this.parameters.keys()]) if (name.startsWith(prefix)) this.releaseParameter(name);
  }

  releaseParameter(name: string): void {
    this.parameters.get(name)?.dispose();
    this.parameters.delete(name);
  }

  /** From now on the head has weights of its own, which the caller sets. */
  untie(): void {
    this.config = { ...this.config, tiedEmbeddings: false };
  }

  /** Lets a decoder linear compute with its dense weight again, which must still be there. */
  restoreDense(module: string): void {
    this.parameter(`${module}.weight`);
    this.setLinear(module, new DenseLinear(this.parameters, module));
  }

  /** The output head's weights [vocab, hidden]: the embeddings when they are tied. Owned by the model. */
  headWeight(): tf.Tensor2D {
    return this.parameter(this.config.tiedEmbeddings ? embeddingName : headName) as tf.Tensor2D;
  }

  parameter(name: string): tf.Tensor {
    const tensor = this.parameters.get(name);
    if (!tensor) throw new Error(`the model holds no parameter ${name}`);
    return tensor;
  }

  dispose(): void {
    for (const op of this.linears.values()) op.dispose();
    for (const ops of this.activations.values()) ops.dispose();
    tf.dispose([...this.parameters.values()]);
    this.parameters.clear();
    this.rotary.dispose();
  }

  /** The attention block of a layer, without norm and residual; [batch, seq, hidden] → the same. Call it within `tf.tidy`. */
  attention(index: number, input: tf.Tensor3D, hooks: LayerHooks = {}): tf.Tensor3D {
    const [output] = this.applySite(index, 'attentionOutput', ['self_attn.o_proj'], this.attentionMix(index, input, hooks), hooks);
    return tf.reshape(output!, input.shape);
  }

  /** The same up to what the output projection reads, before its transform; [batch · seq, heads · headDim]. Call it within `tf.tidy`. */
  attentionMix(index: number, input: tf.Tensor3D, hooks: LayerHooks = {}): tf.Tensor2D {
    const { heads, kvHeads, headDim, hiddenSize } = this.config;
    const prefix = `model.layers.${index}.self_attn`;
    const [batch, seq] = input.shape;
    const ops = this.activationOps(index);
    const rows = tf.reshape(input, [batch * seq, hiddenSize]) as tf.Tensor2D;
    const [q, k, v] = this.applySite(index, 'attentionInput', ['self_attn.q_proj', 'self_attn.k_proj', 'self_attn.v_proj'], rows, hooks);
    const split = (x: tf.Tensor2D, count: number) => tf.reshape(x, [batch, seq, count, headDim]) as tf.Tensor4D;
    const { lengths } = hooks;
    const tables = lengths ? this.rotary.restarting(lengths) : this.rotary.upTo(seq);
    const queries = rotaryEmbedding(this.headNorm(`${prefix}.q_norm`, split(q!, heads)), tables);
    const keys = rotaryEmbedding(this.headNorm(`${prefix}.k_norm`, split(k!, kvHeads)), tables);
    const values = split(v!, kvHeads);
    const mixed = ops
      ? causalAttention(ops.queries(queries), ops.keys(keys), ops.values(values), { lengths })
      : causalAttention(queries, keys, values, { lengths });
    return tf.reshape(mixed, [batch * seq, heads * headDim]);
  }

  /** The MLP of a layer, without norm and residual; [..., hidden] → [rows, hidden]. Call it within `tf.tidy`. */
  mlp(index: number, input: tf.Tensor, hooks: LayerHooks = {}): tf.Tensor2D {
    const rows = tf.reshape(input, [-1, this.config.hiddenSize]) as tf.Tensor2D;
    const [gate, up] = this.applySite(index, 'mlpInput', ['mlp.gate_proj', 'mlp.up_proj'], rows, hooks);
    const [down] = this.applySite(index, 'mlpOutput', ['mlp.down_proj'], swiglu(gate!, up!), hooks);
    return down!;
  }

  /** Outputs of linears that read one input [rows, in], which is transformed and quantized first where the layer says so. */
  applySite(index: number, site: InputSite, names: readonly string[], input: tf.Tensor2D, hooks: LayerHooks = {}): tf.Tensor2D[] {
    const ops = this.activationOps(index);
    const transformed = ops ? ops.transform(site, input) : input;
    const modules = names.map((name) => `model.layers.${index}.${name}`);
    for (const module of modules) hooks.onLinearInput?.(module, transformed);
    const read = ops ? ops.quantize(site, transformed) : transformed;
    return modules.map((module) => this.linear(module).apply(read));
  }

  /** RMSNorm with the weight of `module`. */
  norm(module: string, x: tf.Tensor3D): tf.Tensor3D {
    return rmsNorm(x, this.parameter(`${module}.weight`) as tf.Tensor1D, { epsilon: this.config.rmsNormEps });
  }

  /** Qwen3 normalises each query and key head; other architectures pass through. */
  private headNorm(module: string, x: tf.Tensor4D): tf.Tensor4D {
    return this.config.qkNorm ? rmsNorm(x, this.parameter(`${module}.weight`) as tf.Tensor1D, { epsilon: this.config.rmsNormEps }) : x;
  }
}
