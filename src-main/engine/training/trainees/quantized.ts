/**
 * Fake-quantized linears, trained by the straight-through estimator over latent float weights (Reasoning-QAT, arXiv 2601.14888; INT8 QAFT of
 * arXiv 2511.15694). Once per step the latents are rounded; the model then computes with the rounded weights as with any others, and
 * gradients in them become gradients in the latents. Activations, keys and values are quantized as the scheme or the model says.
 * Where quantization is mixed in gradually, weights go from w to Q(w), and activations are quantized once weights are wholly.
 */
import type * as tf from '@tensorflow/tfjs-core';
import type { QuantizationStart, TrainsOf } from '#contract/training.ts';
import { quantizationShare } from '#contract/training.ts';
import type { PackedLinear } from '../../formats/packed-linear.ts';
import { type DenseParameter, saveQuantizedCheckpoint } from '../../formats/quantized-checkpoint.ts';
import { storedLinearBytes } from '../../formats/stored-linear.ts';
import type { LanguageModel } from '../../model/language-model.ts';
import { type LayerActivations, withoutQuantizers } from '../../model/layer-activations.ts';
import { parameterShapes } from '../../model/parameters.ts';
import { recomputingForward } from '../recompute.ts';
import type { ForwardPass, SavedModel, SaveOptions, TrainableParameter, Trainee } from '../trainee.ts';
import type { LatentWeight } from './latent-weight.ts';
import { trainableParameter, weightParameter } from './weights.ts';

export interface QuantizedTraineeOptions {
  others: TrainsOf<'quantized'>['others'];
  start: QuantizationStart;
  /** By layer, for the time when all is quantized. */
  activations: readonly (LayerActivations | null)[];
  activationCheckpointing: boolean;
  /** Folder the saved model is made from. */
  sourceDir: string;
  notes: string[];
}

export class QuantizedTrainee implements Trainee {
  readonly notes: string[];
  readonly parameters: readonly TrainableParameter[];
  private readonly model: LanguageModel;
  private readonly latents: ReadonlyMap<string, LatentWeight>;
  private readonly options: QuantizedTraineeOptions;
  private share: number | null = null;

  /** Takes over model and latents. @param latents by module; all other linears of the model are dense */
  constructor(model: LanguageModel, latents: ReadonlyMap<string, LatentWeight>, options: QuantizedTraineeOptions) {
    this.model = model;
    this.latents = latents;
    this.options = options;
    this.notes = options.notes;
    this.parameters = [...parameterShapes(model.config).keys()].flatMap((name) => {
      const latent = this.latentOf(name);
      if (latent) return [weightParameter(name, latent.variable)];
      return options.others === 'trained' || isLinearWeight(name) ? [trainableParameter(model, name)] : [];
    });
  }

  get config() {
    return this.model.config;
  }

  async beginStep(step: number): Promise<void> {
    const share = quantizationShare(this.options.start, step);
    for (const [module, latent] of this.latents) {
      const name = `${module}.weight`;
      this.model.parameters.get(name)?.dispose();
      this.model.parameters.set(name, latent.mixed(share));
    }
    if (this.share === null || (share === 1) !== (this.share === 1)) this.setActivations(share === 1);
    this.share = share;
  }

  leaves(): readonly tf.Tensor[] {
    return this.parameters.map(({ name }) => this.model.parameter(name));
  }

  async parameterGradients(leafGradients: tf.Tensor[]): Promise<tf.Tensor[]> {
    return leafGradients.map((gradient, index) => {
      const latent = this.latentOf(this.parameters[index]!.name);
      return latent ? latent.gradient(gradient as tf.Tensor2D, this.share!) : gradient;
    });
  }

  forward(ids: tf.Tensor2D, { lengths }: ForwardPass): tf.Tensor3D {
    if (!this.options.activationCheckpointing) return this.model.forward(ids, { lengths });
    const leaves = this.parameters.map(({ name }) => ({ name, tensor: this.model.parameter(name) }));
    return recomputingForward(this.model, ids, leaves, (index, hidden) => this.model.layer(index, hidden, { lengths }));
  }

  headWeight(): tf.Tensor2D {
    return this.model.headWeight();
  }

  async generationModel() {
    return { model: this.model, release: () => {} };
  }

  /** Packed codes with everything else that was trained, and the latents beside them, so that training can go on. */
  async save(dir: string, { metadata, replace, signal }: SaveOptions): Promise<SavedModel> {
    if (this.share !== null && this.share < 1)
      this.notes.push(`Training ended with a share of quantization of ${this.share}; the model is saved wholly quantized`);
    const quantized = new Map<string, PackedLinear>();
    const latents = new Map<string, DenseParameter>();
    for (const [module, latent] of this.latents) {
      quantized.set(module, await latent.stored());
      latents.set(`${module}.weight`, await denseParameter(latent.variable));
    }
    const parameters = new Map<string, DenseParameter>();
    for (const { name, variable } of this.parameters) {
      if (!this.latentOf(name)) parameters.set(name, await denseParameter(variable));
    }
    const { sourceDir, activations } = this.options;
    const checkpoint = await saveQuantizedCheckpoint(dir, {
      ...{ sourceDir, quantized, parameters, latents, activations, metadata, replace },
      ...(signal ? { signal } : {}),
    });
    const linears = [...quantized.values()];
    const quantizedBytes = linears.reduce((sum, linear) => sum + storedLinearBytes(linear), 0);
    const weights = linears.reduce((sum, { codes }) => sum + codes.length, 0);
    return { checkpoint, quantizedBytes, bitsPerWeight: (8 * quantizedBytes) / weights };
  }

  dispose(): void {
    this.model.dispose();
    for (const latent of this.latents.values()) latent.dispose();
  }

  private latentOf(name: string): LatentWeight | undefined {
    return name.endsWith('.weight') ? this.latents.get(name.slice(0, -'.weight'.length)) : undefined;
  }

  private setActivations(quantized: boolean): void {
    for (const [index, settings] of this.options.activations.entries())
      this.model.setActivations(index, settings && !quantized ? withoutQuantizers(settings) : settings);
  }
}

export async function denseParameter(tensor: tf.Tensor): Promise<DenseParameter> {
  return { values: Float32Array.from(await tensor.data<'float32'>()), shape: tensor.shape };
}

function isLinearWeight(name: string): boolean {
  return name.endsWith('_proj.weight');
}
