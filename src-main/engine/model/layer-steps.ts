/**
 * A decoder layer in the four steps between which calibration replaces linears: what q, k, v read; what o reads; what gate and up read; what
 * down reads. Together they compute what `LanguageModel.layer` does, nothing twice.
 */
import * as tf from '@tensorflow/tfjs-core';
import { swiglu } from '../ops/index.ts';
import type { LanguageModel } from './language-model.ts';
import type { InputSite } from './layer-activations.ts';

/** The normed hidden states [rows, hidden] that q, k and v read, before their transform. */
export function attentionInput(model: LanguageModel, index: number, hidden: tf.Tensor3D): tf.Tensor2D {
  return tf.tidy(() => rowsOf(model.norm(`model.layers.${index}.input_layernorm`, hidden)));
}

/** The attention's mixed values [rows, heads · headDim] that o reads, before its transform. */
export function attentionOutput(model: LanguageModel, index: number, hidden: tf.Tensor3D): tf.Tensor2D {
  return tf.tidy(() => model.attentionMix(index, model.norm(`model.layers.${index}.input_layernorm`, hidden)));
}

/** Hidden states after the attention, from those before it and its mixed values; [batch, seq, hidden]. */
export function afterAttention(model: LanguageModel, index: number, hidden: tf.Tensor3D, mixed: tf.Tensor2D): tf.Tensor3D {
  return tf.tidy(() => {
    const [output] = model.applySite(index, 'attentionOutput', ['self_attn.o_proj'], mixed);
    return tf.add(hidden, tf.reshape(output!, hidden.shape)) as tf.Tensor3D;
  });
}

/** The normed hidden states [rows, hidden] that gate and up read, before their transform. `hidden` is after the attention. */
export function mlpInput(model: LanguageModel, index: number, hidden: tf.Tensor3D): tf.Tensor2D {
  return tf.tidy(() => rowsOf(model.norm(`model.layers.${index}.post_attention_layernorm`, hidden)));
}

/** The MLP's inner activations [rows, intermediate] that down reads, before its transform. `hidden` is after the attention. */
export function mlpOutput(model: LanguageModel, index: number, hidden: tf.Tensor3D): tf.Tensor2D {
  return tf.tidy(() => {
    const [gate, up] = model.applySite(index, 'mlpInput', ['mlp.gate_proj', 'mlp.up_proj'], mlpInput(model, index, hidden));
    return swiglu(gate!, up!);
  });
}

/** The layer's output, from the hidden states after the attention and the MLP's inner activations; [batch, seq, hidden]. */
export function afterMlp(model: LanguageModel, index: number, hidden: tf.Tensor3D, inner: tf.Tensor2D): tf.Tensor3D {
  return tf.tidy(() => {
    const [down] = model.applySite(index, 'mlpOutput', ['mlp.down_proj'], inner);
    return tf.add(hidden, tf.reshape(down!, hidden.shape)) as tf.Tensor3D;
  });
}

/** An input as the site's linears read it when nothing is rounded. The caller disposes the result, which may be `input` itself. */
export function transformed(model: LanguageModel, index: number, site: InputSite, input: tf.Tensor2D): tf.Tensor2D {
  return model.activationOps(index)?.transform(site, input) ?? input;
}

/** [batch, seq, size] → [batch · seq, size] */
function rowsOf(x: tf.Tensor3D): tf.Tensor2D {
  return tf.reshape(x, [-1, x.shape[2]]);
}
