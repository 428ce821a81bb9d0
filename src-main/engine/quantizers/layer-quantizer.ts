/**
 * What every method is to the driver: it changes one decoder layer of the model at a time, on the model itself, and returns everything that
 * has to be stored of it. The driver owns the order of layers, the calibration's hidden states, memory and resuming.
 */
import { RoundoffError } from '#contract/errors.ts';
import type { QuantizationMethod, StageOf } from '#contract/recipe.ts';
import type { LayerError } from '#contract/worker.ts';
import type { DenseParameter } from '../formats/quantized-checkpoint.ts';
import type { StoredLinear } from '../formats/stored-linear.ts';
import type { LanguageModel, LayerHooks } from '../model/language-model.ts';
import type { LayerActivations } from '../model/layer-activations.ts';
import type { WeightShape } from '../observers/weight-observer.ts';
import type { Calibrator } from './calibrator.ts';

/** One linear, quantized and already set on the model. */
export interface QuantizedLinear {
  module: string;
  packed: StoredLinear;
  error: LayerError;
  /** [out, in], compensated weights before rounding (GPTQ only). */
  latents: Float32Array | null;
}

/** Everything that quantization changed in one layer. */
export interface LayerResult {
  linears: QuantizedLinear[];
  /** Dense parameters that changed (norms, biases, linears left unquantized but transformed), by Hugging Face name. */
  parameters: Map<string, DenseParameter>;
  /** Null where activations stay plain. The driver sets it on the model after the last layer. */
  activations: LayerActivations | null;
  /** What the method learnt and folding hides (FlatQuant's transforms and clip logits), by tensor name, for training that goes on from it. */
  trained?: ReadonlyMap<string, DenseParameter>;
}

/** What changed outside the layers. */
export interface GlobalResult {
  parameters: Map<string, DenseParameter>;
  /** The output head got weights of its own. */
  untied: boolean;
}

export interface LayerQuantizer {
  /**
   * Whose outputs the next layer is calibrated on: the layer as quantized (GPTQ, QuaRot), or as it was (AWQ, FlatQuant). With `original`
   * the calibrator holds the layer's float outputs while `layer` runs.
   */
  readonly advance: 'quantized' | 'original';
  /** Once, before calibration text is embedded: changes embeddings, final norm and head on the model. */
  begin?(): Promise<GlobalResult>;
  /** With `original`: what looks on while the calibrator computes the float outputs of layer `index`, just before `layer`. */
  observe?(index: number, calibrator: Calibrator): LayerHooks;
  /** Quantizes layer `index` on the model. The calibrator stands before the layer; null for methods without calibration. */
  layer(index: number, calibrator: Calibrator | null): Promise<LayerResult>;
  dispose?(): void;
}

/** What a method is given. */
export interface MethodContext<M extends QuantizationMethod = QuantizationMethod> {
  model: LanguageModel;
  stage: StageOf<M>;
  signal?: AbortSignal;
  /** Called as each linear is done, for progress. */
  onLinear(module: string): void;
  /** What goes on inside a layer that takes long, e.g. `epoch 3 of 15`; `share` of the layer's work done so far. */
  onStep(detail: string, share: number): void;
  /** A deviation from what was asked, recorded in the result. */
  onNote(note: string): void;
}

export type MethodFactory<M extends QuantizationMethod> = (context: MethodContext<M>) => LayerQuantizer;

/** Runs `work`; an expected error gets the module's name in front. */
export async function naming<T>(module: string, work: () => T | Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof RoundoffError)) throw error;
    throw new RoundoffError(error.code, `${module}: ${error.message}`, error.hint, { problems: error.problems, cause: error });
  }
}

/** The dense weight [out, in] a linear computes with now. */
export async function readWeight(model: LanguageModel, module: string): Promise<{ weight: Float32Array; shape: WeightShape }> {
  const tensor = model.linear(module).weight();
  const weight = (await tensor.data<'float32'>()).slice();
  const [outFeatures, inFeatures] = tensor.shape;
  tensor.dispose();
  return { weight, shape: { outFeatures, inFeatures } };
}

export function differences(a: Float32Array, b: Float32Array): Float32Array {
  const result = new Float32Array(a.length);
  for (let i = 0; i < a.length; i++) result[i] = a[i]! - b[i]!;
  return result;
}

export function meanSquare(values: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]! * values[i]!;
  return sum / values.length;
}
