/**
 * The decoder on tensors with a key/value cache of fixed capacity, for every backend. Shapes never depend on what else is in the batch: a
 * decode step always covers all slots, a prompt is computed alone, so a backend has no occasion to round differently.
 */
import * as tf from '@tensorflow/tfjs-core';
import type { LanguageModel } from '../../model/language-model.ts';
import type { InputSite } from '../../model/layer-activations.ts';
import { causalAttention, rmsNorm, rotaryEmbedding, swiglu } from '../../ops/index.ts';

interface LayerCache {
  /** [slots, kvHeads, capacity, headDim] */
  keys: tf.Tensor4D;
  values: tf.Tensor4D;
}

interface Projections {
  /** [batch, seq, heads or kvHeads, headDim] */
  q: tf.Tensor4D;
  k: tf.Tensor4D;
  v: tf.Tensor4D;
}

type Attention = (index: number, projections: Projections) => tf.Tensor;

/** A score no softmax sees. */
const neverSeen = -1e30;

export class TensorDecoder {
  private readonly model: LanguageModel;
  private readonly slots: number;
  private readonly capacity: number;
  private readonly caches: LayerCache[];

  constructor(model: LanguageModel, slots: number, capacity: number) {
    this.model = model;
    this.slots = slots;
    this.capacity = capacity;
    const { kvHeads, headDim, layers } = model.config;
    const empty = () => tf.keep(tf.zeros([slots, kvHeads, capacity, headDim])) as tf.Tensor4D;
    this.caches = Array.from({ length: layers }, () => ({ keys: empty(), values: empty() }));
  }

  dispose(): void {
    for (const { keys, values } of this.caches) tf.dispose([keys, values]);
  }

  /** Computes a whole prompt into a slot; returns the logits after its last token, [1, vocab]. */
  prefill(slot: number, ids: readonly number[]): tf.Tensor2D {
    return tf.tidy(() => {
      const tables = this.model.rotary.upTo(this.capacity);
      const chosen = tf.reshape(oneHot([slot], this.slots), [this.slots, 1, 1, 1]) as tf.Tensor4D;
      const attention: Attention = (index, projections) => {
        const ops = this.model.activationOps(index);
        const rotatedQueries = rotaryEmbedding(projections.q, tables);
        const rotatedKeys = rotaryEmbedding(projections.k, tables);
        const q = ops ? ops.queries(rotatedQueries) : rotatedQueries;
        const k = ops ? ops.keys(rotatedKeys) : rotatedKeys;
        const v = ops ? ops.values(projections.v) : projections.v;
        this.write(index, chosen, this.padded(k), this.padded(v));
        return causalAttention(q, k, v);
      };
      const states = this.decode(tf.tensor2d([...ids], [1, ids.length], 'int32'), attention);
      const last = tf.slice(states, [0, ids.length - 1, 0], [1, 1, -1]);
      return this.logits(last as tf.Tensor3D);
    });
  }

  /** Copies all keys and values of a slot into another one. */
  copySlot(from: number, to: number): void {
    tf.tidy(() => {
      const chosen = tf.reshape(oneHot([to], this.slots), [this.slots, 1, 1, 1]) as tf.Tensor4D;
      const row = (cache: tf.Tensor4D) => tf.slice(cache, [from, 0, 0, 0], [1, -1, -1, -1]);
      for (const [index, { keys, values }] of this.caches.entries()) this.write(index, chosen, row(keys), row(values));
    });
  }

  /** Computes one token of every slot at its position; returns logits [slots, vocab]. Unused slots may hold any token. */
  step(ids: Int32Array, positions: Int32Array): tf.Tensor2D {
    return tf.tidy(() => {
      const at = tf.tensor1d(positions, 'int32');
      const place = oneHot(positions, this.capacity);
      const written = tf.reshape(place, [this.slots, 1, this.capacity, 1]) as tf.Tensor4D;
      const later = tf.greater(tf.range(0, this.capacity, 1, 'int32'), tf.reshape(at, [this.slots, 1]));
      const mask = tf.reshape(tf.mul(tf.cast(later, 'float32'), neverSeen), [this.slots, 1, 1, this.capacity]);
      const tables = this.model.rotary.upTo(this.capacity);
      const angles = { cos: this.angleRows(tables.cos, at), sin: this.angleRows(tables.sin, at) };
      const attention: Attention = (index, { q, k, v }) => {
        const { kvHeads, headDim } = this.model.config;
        const oneToken = (x: tf.Tensor) => tf.reshape(x, [this.slots, kvHeads, 1, headDim]) as tf.Tensor4D;
        const ops = this.model.activationOps(index);
        const keys = rotate(k, angles);
        const queries = rotate(q, angles);
        this.write(index, written, oneToken(ops ? ops.keys(keys) : keys), oneToken(ops ? ops.values(v) : v));
        return this.attendToCache(index, ops ? ops.queries(queries) : queries, mask);
      };
      const states = this.decode(tf.tensor2d(ids, [this.slots, 1], 'int32'), attention);
      return this.logits(states);
    });
  }

  /** [slots, 1, heads, headDim] queries over the whole cache, later positions masked. */
  private attendToCache(index: number, q: tf.Tensor, mask: tf.Tensor): tf.Tensor {
    const { heads, kvHeads, headDim } = this.model.config;
    const { keys, values } = this.caches[index]!;
    const grouped = tf.reshape(q, [this.slots, kvHeads, heads / kvHeads, headDim]);
    const scores = tf.add(tf.mul(tf.matMul(grouped, keys, false, true), 1 / Math.sqrt(headDim)), mask);
    return tf.matMul(tf.softmax(scores), values);
  }

  /** Replaces the cache where `place` is one, [slots or 1, 1, capacity or 1, 1]. */
  private write(index: number, place: tf.Tensor4D, keys: tf.Tensor4D, values: tf.Tensor4D): void {
    const cache = this.caches[index]!;
    const kept = tf.sub(1, place);
    for (const [name, update] of [['keys', keys] as const, ['values', values] as const]) {
      const next = tf.keep(tf.add(tf.mul(cache[name], kept), tf.mul(update, place))) as tf.Tensor4D;
      cache[name].dispose();
      cache[name] = next;
    }
  }

  /** [1, seq, kvHeads, headDim] → [1, kvHeads, capacity, headDim] */
  private padded(x: tf.Tensor4D): tf.Tensor4D {
    const missing: [number, number] = [0, this.capacity - x.shape[1]];
    return tf.pad(tf.transpose(x, [0, 2, 1, 3]), [[0, 0], [0, 0], missing, [0, 0]]);
  }

  private angleRows(table: tf.Tensor2D, positions: tf.Tensor1D): tf.Tensor {
    return tf.reshape(tf.gather(table, positions), [this.slots, 1, 1, -1]);
  }

  /** All layers over ids [batch, seq]; [batch, seq, hidden] before the final norm. */
  private decode(ids: tf.Tensor2D, attention: Attention): tf.Tensor3D {
    const { model } = this;
    const [batch, seq] = ids.shape;
    const { hiddenSize, layers } = model.config;
    let states = tf.reshape(model.embed(ids), [batch * seq, hiddenSize]) as tf.Tensor2D;
    for (let index = 0; index < layers; index++) states = this.layer(index, states, [batch, seq], attention);
    return tf.reshape(states, [batch, seq, hiddenSize]);
  }

  private layer(index: number, states: tf.Tensor2D, [batch, seq]: [number, number], attention: Attention): tf.Tensor2D {
    return tf.tidy(() => {
      const { heads, kvHeads, headDim } = this.model.config;
      const prefix = `model.layers.${index}`;
      const apply = (site: InputSite, names: readonly string[], input: tf.Tensor) =>
        this.model.applySite(index, site, names, input as tf.Tensor2D);
      const input = this.norm(`${prefix}.input_layernorm`, states);
      const [query, key, value] = apply('attentionInput', ['self_attn.q_proj', 'self_attn.k_proj', 'self_attn.v_proj'], input);
      const split = (x: tf.Tensor2D, count: number) => tf.reshape(x, [batch, seq, count, headDim]) as tf.Tensor4D;
      const q = this.headNorm(`${prefix}.self_attn.q_norm`, split(query!, heads));
      const k = this.headNorm(`${prefix}.self_attn.k_norm`, split(key!, kvHeads));
      const mixed = attention(index, { q, k, v: split(value!, kvHeads) });
      const merged = tf.reshape(mixed, [batch * seq, heads * headDim]);
      const attended = tf.add(states, apply('attentionOutput', ['self_attn.o_proj'], merged)[0]!);
      const inner = this.norm(`${prefix}.post_attention_layernorm`, attended);
      const [gate, up] = apply('mlpInput', ['mlp.gate_proj', 'mlp.up_proj'], inner);
      return tf.add(attended, apply('mlpOutput', ['mlp.down_proj'], swiglu(gate!, up!))[0]!) as tf.Tensor2D;
    });
  }

  private logits(states: tf.Tensor3D): tf.Tensor2D {
    const { hiddenSize } = this.model.config;
    return this.model.logits(tf.reshape(this.model.finalNorm(states), [-1, hiddenSize])) as tf.Tensor2D;
  }

  private norm<T extends tf.Tensor>(module: string, x: T): T {
    return rmsNorm(x, this.model.parameter(`${module}.weight`) as tf.Tensor1D, { epsilon: this.model.config.rmsNormEps });
  }

  private headNorm(module: string, x: tf.Tensor4D): tf.Tensor4D {
    return this.model.config.qkNorm ? this.norm(module, x) : x;
  }
}

/** Float one-hot rows, [indices, size]. */
function oneHot(indices: ArrayLike<number>, size: number): tf.Tensor {
  const values = new Float32Array(indices.length * size);
  for (let row = 0; row < indices.length; row++) values[row * size + indices[row]!] = 1;
  return tf.tensor2d(values, [indices.length, size]);
}

/** Rotates [slots, 1, heads, headDim] by one angle row per slot, [slots, 1, 1, headDim / 2]. */
function rotate(x: tf.Tensor4D, { cos, sin }: { cos: tf.Tensor; sin: tf.Tensor }): tf.Tensor4D {
  const [a, b] = tf.split(x, 2, 3) as [tf.Tensor4D, tf.Tensor4D];
  return tf.concat([tf.sub(tf.mul(a, cos), tf.mul(b, sin)), tf.add(tf.mul(b, cos), tf.mul(a, sin))], 3) as tf.Tensor4D;
}
