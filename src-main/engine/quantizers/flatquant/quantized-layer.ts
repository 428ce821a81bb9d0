/**
 * One decoder layer as FlatQuant trains it: transformed, clipped and fake-quantized, differentiable in every transform and clip factor; the
 * model's own parameters are constants, unless they are trained too. Also the source of the folded weights, so that what is exported is what was trained.
 * Source: FlatQuant (arXiv 2410.09426), section 3, and its code.
 */
import * as tf from '@tensorflow/tfjs-core';
import type { QuantizationScheme } from '#contract/scheme.ts';
import type { LanguageModel } from '../../model/language-model.ts';
import { type InputSite, inputSites, siteModules, type TokenQuantizer } from '../../model/layer-activations.ts';
import { type LayerLinear, layerLinears, linearShape } from '../../model/parameters.ts';
import { causalAttention, clampRows, clippedQuantize, kronecker, linear, rmsNorm, rotaryEmbedding, swiglu } from '../../ops/index.ts';
import type { DiagonalSite, LayerPlan } from './layer-plan.ts';
import type { LayerTensors } from './trainables.ts';

/** How far weights are taken: transformed only, clipped as learnt, or rounded as well. */
export type WeightForm = 'transformed' | 'clipped' | 'quantized';

const stacks = siteModules as Record<InputSite, readonly LayerLinear[]>;

export interface QuantizedLayerOptions {
  /** Where the weights come from that are transformed: new tensors [out, in]; the model's own when left out. */
  weightOf?(name: LayerLinear): tf.Tensor2D;
  /** The model's weights are trained too: they are read anew at every call, and gradients reach them. */
  trainsWeights?: boolean;
  /** The scales of weights are rounded as they will be stored; FlatQuant's own calibration keeps them whole. */
  halfScales?: boolean;
}

export class QuantizedLayer {
  private readonly model: LanguageModel;
  private readonly plan: LayerPlan;
  private readonly halfScales: boolean;
  /** The weights of a site's linears, one below the other. */
  private readonly stack: (site: InputSite) => tf.Tensor2D;
  /** The same, made once; null when weights are trained. */
  private readonly stacked: Record<InputSite, tf.Tensor2D> | null;

  constructor(model: LanguageModel, plan: LayerPlan, options: QuantizedLayerOptions = {}) {
    this.model = model;
    this.plan = plan;
    const { trainsWeights = false, halfScales = false, weightOf = (name) => model.linear(`${plan.prefix}.${name}`).weight() } = options;
    this.halfScales = halfScales;
    this.stack = (site) => tf.tidy(() => tf.concat(stacks[site].map((name) => weightOf(name))));
    this.stacked = trainsWeights ? null : this.stacks();
  }

  /**
   * [batch, seq, hidden] → the same.
   * @param quantizes false switches every quantizer and clipping off: the layer then computes what the original does
   * @param lengths of sequences that lie one after the other in a single row, as `LanguageModel` has them
   */
  forward(hidden: tf.Tensor3D, tensors: LayerTensors, quantizes = true, lengths?: readonly number[]): tf.Tensor3D {
    return tf.tidy(() => {
      const weights = this.weights(tensors, quantizes ? 'quantized' : 'transformed');
      const attended = tf.add(hidden, this.attention(hidden, weights, tensors, quantizes, lengths)) as tf.Tensor3D;
      const rows = tf.reshape(this.norm('post_attention_layernorm', attended, tensors), [-1, hidden.shape[2]]) as tf.Tensor2D;
      const read = this.input('mlpInput', rows, tensors, quantizes);
      const gated = swiglu(linear(read, weights['mlp.gate_proj']), linear(read, weights['mlp.up_proj']));
      const down = linear(this.input('mlpOutput', gated, tensors, quantizes), weights['mlp.down_proj']);
      return tf.add(attended, tf.reshape(down, hidden.shape)) as tf.Tensor3D;
    });
  }

  /** The weights [out, in] of every linear; those that stay unquantized are transformed at most. */
  weights(tensors: LayerTensors, form: WeightForm): Record<LayerLinear, tf.Tensor2D> {
    const { attentionInput, attentionOutput, mlpInput, mlpOutput } = this.stacked ?? this.stacks();
    const heads = this.plan.transformsHeads ? matrix(tensors, 'heads', 'inverse') : null;
    const values = this.plan.transformsValues ? matrix(tensors, 'values', 'inverse') : null;
    const transformed = new Map<LayerLinear, tf.Tensor2D>([
      ...this.rowsOf('attentionInput', this.transformWeight('attentionInput', attentionInput, tensors)),
      ['self_attn.o_proj', values ? kronecker(attentionOutput, heads, values) : attentionOutput],
      ...this.rowsOf('mlpInput', this.transformWeight('mlpInput', this.scaleUp(mlpInput, tensors), tensors)),
      ['mlp.down_proj', this.transformWeight('mlpOutput', mlpOutput, tensors)],
    ]);
    const finish = (name: LayerLinear) => this.finishWeight(name, transformed.get(name)!, tensors, form);
    return Object.fromEntries(layerLinears.map((name) => [name, finish(name)])) as Record<LayerLinear, tf.Tensor2D>;
  }

  /** The bias of a linear, transformed where its outputs are; null when it has none. */
  bias(name: LayerLinear, tensors: LayerTensors): tf.Tensor1D | null {
    const bias = this.model.linear(`${this.plan.prefix}.${name}`).bias();
    if (!bias || name !== 'self_attn.v_proj' || !this.plan.transformsValues) return bias;
    const { kvHeads, headDim } = this.model.config;
    return tf.reshape(tf.matMul(tf.reshape(bias, [kvHeads, headDim]) as tf.Tensor2D, matrix(tensors, 'values')), [-1]) as tf.Tensor1D;
  }

  /** A norm's weights with the diagonal of the site that reads it. */
  normWeight(name: 'input_layernorm' | 'post_attention_layernorm', tensors: LayerTensors): tf.Tensor1D {
    const site = name === 'input_layernorm' ? 'attentionInput' : 'mlpInput';
    const weight = this.parameter(`${name}.weight`) as tf.Tensor1D;
    return this.plan.splits[site] ? (tf.mul(weight, vector(tensors, `${site}.diagonal`)) as tf.Tensor1D) : weight;
  }

  dispose(): void {
    if (this.stacked) tf.dispose(Object.values(this.stacked));
  }

  private stacks(): Record<InputSite, tf.Tensor2D> {
    return Object.fromEntries(inputSites.map((site) => [site, this.stack(site)])) as Record<InputSite, tf.Tensor2D>;
  }

  private attention(
    hidden: tf.Tensor3D,
    weights: Record<LayerLinear, tf.Tensor2D>,
    tensors: LayerTensors,
    quantizes: boolean,
    lengths?: readonly number[],
  ): tf.Tensor {
    const { heads, kvHeads, headDim, hiddenSize, qkNorm } = this.model.config;
    const [batch, seq] = hidden.shape;
    const rows = tf.reshape(this.norm('input_layernorm', hidden, tensors), [-1, hiddenSize]) as tf.Tensor2D;
    const read = this.input('attentionInput', rows, tensors, quantizes);
    const project = (name: LayerLinear, count: number) =>
      tf.reshape(linear(read, weights[name], this.bias(name, tensors)), [batch, seq, count, headDim]) as tf.Tensor4D;
    const headNorm = (name: string, x: tf.Tensor4D) =>
      qkNorm ? rmsNorm(x, this.parameter(`self_attn.${name}.weight`) as tf.Tensor1D, { epsilon: this.model.config.rmsNormEps }) : x;
    const tables = lengths ? this.model.rotary.restarting(lengths) : this.model.rotary.upTo(seq);
    const queries = rotaryEmbedding(headNorm('q_norm', project('self_attn.q_proj', heads)), tables);
    const keys = rotaryEmbedding(headNorm('k_norm', project('self_attn.k_proj', kvHeads)), tables);
    const { transformsKeys } = this.plan;
    const q = transformsKeys ? timesMatrix(queries, matrix(tensors, 'keys', 'inverse')) : queries;
    const k = this.token('keys', transformsKeys ? timesMatrix(keys, matrix(tensors, 'keys')) : keys, tensors, quantizes);
    const v = this.token('values', project('self_attn.v_proj', kvHeads), tensors, quantizes);
    const mixed = tf.reshape(causalAttention(q, k, v, { lengths }), [batch * seq, heads * headDim]) as tf.Tensor2D;
    const output = this.input('attentionOutput', mixed, tensors, quantizes);
    return tf.reshape(linear(output, weights['self_attn.o_proj'], this.bias('self_attn.o_proj', tensors)), hidden.shape);
  }

  /** What the linears of a site read: transformed, then quantized. */
  private input(site: InputSite, x: tf.Tensor2D, tensors: LayerTensors, quantizes: boolean): tf.Tensor2D {
    const left = tensors.transforms.get(site === 'attentionOutput' ? 'heads' : `${site}.left`)?.value ?? null;
    const right = tensors.transforms.get(`${site}.right`)?.value ?? null;
    const transformed = left || right ? kronecker(x, left as tf.Tensor2D | null, right as tf.Tensor2D | null) : x;
    return this.token(site, transformed, tensors, quantizes);
  }

  private token<T extends tf.Tensor>(name: InputSite | 'keys' | 'values', x: T, { clips }: LayerTensors, quantizes: boolean): T {
    const quantizer: TokenQuantizer | null = this.plan.quantizers[name].quantizer;
    if (!quantizer || !quantizes) return x;
    return clippedQuantize(x, quantizer, { high: clips.get(`${name}.high`)!, low: clips.get(`${name}.low`)! });
  }

  private norm(name: 'input_layernorm' | 'post_attention_layernorm', x: tf.Tensor3D, tensors: LayerTensors): tf.Tensor3D {
    return rmsNorm(x, this.normWeight(name, tensors), { epsilon: this.model.config.rmsNormEps });
  }

  /** The diagonal of down_proj's input scales the rows of up_proj, which stand below those of gate_proj. */
  private scaleUp(gateAndUp: tf.Tensor2D, tensors: LayerTensors): tf.Tensor2D {
    if (!this.plan.splits.mlpOutput) return gateAndUp;
    const scale = vector(tensors, 'mlpOutput.diagonal');
    return tf.mul(gateAndUp, tf.reshape(tf.concat([tf.ones(scale.shape), scale]), [-1, 1])) as tf.Tensor2D;
  }

  private transformWeight(site: DiagonalSite, weight: tf.Tensor2D, tensors: LayerTensors): tf.Tensor2D {
    if (!this.plan.splits[site]) return weight;
    const left = tensors.transforms.get(`${site}.left`)?.inverse ?? null;
    const scaled = tf.mul(weight, vector(tensors, `${site}.diagonal`, 'inverse')) as tf.Tensor2D;
    return kronecker(scaled, left as tf.Tensor2D | null, matrix(tensors, `${site}.right`, 'inverse'));
  }

  private rowsOf(site: DiagonalSite, stack: tf.Tensor2D): [LayerLinear, tf.Tensor2D][] {
    const sizes = stacks[site].map((name) => linearShape(this.model.config, `${this.plan.prefix}.${name}`)[0]);
    const parts = tf.split(stack, sizes) as tf.Tensor2D[];
    return stacks[site].map((name, index) => [name, parts[index]!]);
  }

  private finishWeight(name: LayerLinear, weight: tf.Tensor2D, tensors: LayerTensors, form: WeightForm): tf.Tensor2D {
    const scheme = this.plan.schemes[name];
    const { clips } = tensors;
    const clipped = scheme && form !== 'transformed' ? clampRows(weight, clips.get(`${name}.high`)!, clips.get(`${name}.low`)!) : weight;
    const fused = name === 'self_attn.v_proj' && this.plan.transformsValues ? this.transformValueRows(clipped, tensors) : clipped;
    return scheme && form === 'quantized' ? quantizeWeight(fused, scheme, this.halfScales) : fused;
  }

  /** Outputs of v_proj times the values' transform, head by head. */
  private transformValueRows(weight: tf.Tensor2D, tensors: LayerTensors): tf.Tensor2D {
    const { kvHeads, headDim } = this.model.config;
    const perHead = tf.reshape(weight, [kvHeads, headDim, -1]);
    return tf.reshape(tf.matMul(tf.expandDims(matrix(tensors, 'values'), 0), perHead, true, false), weight.shape);
  }

  private parameter(name: string): tf.Tensor {
    return this.model.parameter(`${this.plan.prefix}.${name}`);
  }
}

/** Round-to-nearest on the live range of each row or group. */
function quantizeWeight(weight: tf.Tensor2D, { bits, symmetric, groupSize }: QuantizationScheme, halfScales: boolean): tf.Tensor2D {
  const groups = groupSize ? (tf.reshape(weight, [-1, groupSize]) as tf.Tensor2D) : weight;
  return tf.reshape(clippedQuantize(groups, { bits, symmetric, halfScales }), weight.shape);
}

function matrix({ transforms }: LayerTensors, name: string, side: 'value' | 'inverse' = 'value'): tf.Tensor2D {
  return transforms.get(name)![side] as tf.Tensor2D;
}

function vector({ transforms }: LayerTensors, name: string, side: 'value' | 'inverse' = 'value'): tf.Tensor1D {
  return transforms.get(name)![side] as tf.Tensor1D;
}

function timesMatrix(x: tf.Tensor4D, factor: tf.Tensor2D): tf.Tensor4D {
  return tf.reshape(tf.matMul(tf.reshape(x, [-1, factor.shape[0]]) as tf.Tensor2D, factor), x.shape);
}
