/**
 * A whole model in FlatQuant's form, trained network-wide: weights, transforms with their diagonals, and clip factors, each group at its own
 * rate (Reasoning-QAT, arXiv 2601.14888, from FlatQuant, arXiv 2410.09426, whose code keeps weights fixed). Generation and saving fold it as
 * FlatQuant's own export does.
 */
import * as tf from '@tensorflow/tfjs-core';
import type { PackedLinear } from '../../formats/packed-linear.ts';
import { type DenseParameter, saveQuantizedCheckpoint } from '../../formats/quantized-checkpoint.ts';
import { type StoredLinear, storedLinearBytes } from '../../formats/stored-linear.ts';
import { LanguageModel } from '../../model/language-model.ts';
import { parameterShapes } from '../../model/parameters.ts';
import { foldLayer, roundToNearest } from '../../quantizers/flatquant/fold.ts';
import type { LayerPlan } from '../../quantizers/flatquant/layer-plan.ts';
import { QuantizedLayer } from '../../quantizers/flatquant/quantized-layer.ts';
import { disposeTensors, type LayerTensors, leavesOf, type Trainables } from '../../quantizers/flatquant/trainables.ts';
import { type NamedLeaf, recomputingForward } from '../recompute.ts';
import type { ForwardPass, SavedModel, SaveOptions, TrainableParameter, Trainee } from '../trainee.ts';
import { denseParameter } from './quantized.ts';
import { trainableParameter } from './weights.ts';

export interface FlatquantTraineeOptions {
  activationCheckpointing: boolean;
  /** Folder the saved model is made from. */
  sourceDir: string;
  notes: readonly string[];
  /** False keeps scales of weights unrounded, for comparisons; a saved model then differs from what was trained. */
  halfScales?: boolean;
}

/** Null trainables: nothing of the layer is quantized. */
export interface FlatquantLayer {
  plan: LayerPlan;
  trainables: Trainables | null;
}

interface Layer extends FlatquantLayer {
  layer: QuantizedLayer | null;
  /** As of the last `beginStep`. */
  tensors: LayerTensors | null;
}

export class FlatquantTrainee implements Trainee {
  readonly notes: readonly string[];
  readonly parameters: readonly TrainableParameter[];
  /** The float model, unfolded. */
  private readonly model: LanguageModel;
  private readonly weightNames: readonly string[];
  private readonly layers: readonly Layer[];
  private readonly options: FlatquantTraineeOptions;

  /** Takes over the float model and the layers' trainables. */
  constructor(model: LanguageModel, layers: readonly FlatquantLayer[], options: FlatquantTraineeOptions) {
    this.model = model;
    this.options = options;
    this.notes = options.notes;
    this.weightNames = [...parameterShapes(model.config).keys()];
    const weights = this.weightNames.map((name) => trainableParameter(model, name));
    this.layers = layers.map(({ plan, trainables }) => ({
      ...{ plan, trainables, tensors: null },
      layer: trainables ? new QuantizedLayer(model, plan, { trainsWeights: true, halfScales: options.halfScales ?? true }) : null,
    }));
    this.parameters = [...weights, ...this.layers.flatMap(ownParameters)];
  }

  get config() {
    return this.model.config;
  }

  async beginStep(): Promise<void> {
    for (const layer of this.layers) {
      if (!layer.trainables) continue;
      const next = await layer.trainables.tensors();
      if (layer.tensors) disposeTensors(layer.tensors);
      layer.tensors = next;
    }
  }

  leaves(): readonly tf.Tensor[] {
    return this.namedLeaves().map(({ tensor }) => tensor);
  }

  async parameterGradients(leafGradients: tf.Tensor[]): Promise<tf.Tensor[]> {
    const result = leafGradients.slice(0, this.weightNames.length);
    let place = result.length;
    for (const { trainables, tensors } of this.layers) {
      if (!trainables) continue;
      const own = leafGradients.slice(place, place + leavesOf(tensors!).length);
      place += own.length;
      const { raw, logits } = await trainables.ownGradients(own);
      tf.dispose(own);
      for (const gradient of [raw, logits]) {
        if (gradient.size > 0) result.push(gradient);
        else gradient.dispose();
      }
    }
    return result;
  }

  forward(ids: tf.Tensor2D, { lengths }: ForwardPass): tf.Tensor3D {
    if (this.options.activationCheckpointing)
      return recomputingForward(this.model, ids, this.namedLeaves(), (index, hidden) => this.layer(index, hidden, lengths));
    return tf.tidy(() => {
      let hidden = this.model.embed(ids);
      for (let index = 0; index < this.layers.length; index++) hidden = this.layer(index, hidden, lengths);
      return this.model.finalNorm(hidden);
    });
  }

  headWeight(): tf.Tensor2D {
    return this.model.headWeight();
  }

  async generationModel() {
    const { model } = await this.fold();
    return { model, release: () => model.dispose() };
  }

  /** The folded model; beside it what folding hides: transforms, clip logits and the layers' float parameters as they are trained. */
  async save(dir: string, { metadata, replace, signal }: SaveOptions): Promise<SavedModel> {
    const { model, quantized } = await this.fold();
    try {
      const parameters = new Map<string, DenseParameter>();
      for (const [name, tensor] of model.parameters) parameters.set(name, await denseParameter(tensor));
      const trained = await this.trainedValues();
      const checkpoint = await saveQuantizedCheckpoint(dir, {
        ...{ sourceDir: this.options.sourceDir, quantized, parameters, trained, metadata, replace },
        activations: model.layerActivations(),
        ...(signal ? { signal } : {}),
      });
      const linears = [...quantized.values()] as PackedLinear[];
      const quantizedBytes = linears.reduce((sum, linear) => sum + storedLinearBytes(linear), 0);
      const weights = linears.reduce((sum, { codes }) => sum + codes.length, 0);
      return { checkpoint, quantizedBytes, bitsPerWeight: (8 * quantizedBytes) / weights };
    } finally {
      model.dispose();
    }
  }

  dispose(): void {
    for (const { layer, trainables, tensors } of this.layers) {
      layer?.dispose();
      trainables?.dispose();
      if (tensors) disposeTensors(tensors);
    }
    this.model.dispose();
  }

  private layer(index: number, hidden: tf.Tensor3D, lengths?: readonly number[]): tf.Tensor3D {
    const { layer, tensors } = this.layers[index]!;
    return layer ? layer.forward(hidden, tensors!, true, lengths) : this.model.layer(index, hidden, { lengths });
  }

  private namedLeaves(): NamedLeaf[] {
    const weights = this.weightNames.map((name) => ({ name, tensor: this.model.parameter(name) }));
    const own = this.layers.flatMap(({ plan, tensors }) =>
      tensors ? leavesOf(tensors).map((tensor) => ({ name: `${plan.prefix}.flatquant`, tensor })) : [],
    );
    return [...weights, ...own];
  }

  /** A model of its own, folded and rounded as FlatQuant's export does it. */
  private async fold(): Promise<{ model: LanguageModel; quantized: Map<string, StoredLinear> }> {
    const parameters = new Map([...this.model.parameters].map(([name, tensor]) => [name, tf.clone(tensor)]));
    const model = new LanguageModel(this.config, parameters);
    const quantized = new Map<string, StoredLinear>();
    try {
      for (const { plan, layer, trainables } of this.layers) {
        if (!layer || !trainables) continue;
        const folded = await foldLayer(model, plan, layer, trainables, { compares: false });
        const linears = await roundToNearest(plan, folded, { model, onLinear: () => {} });
        for (const { module, packed } of linears) quantized.set(module, packed);
        model.setActivations(plan.index, folded.activations);
      }
      return { model, quantized };
    } catch (error) {
      model.dispose();
      throw error;
    }
  }

  private async trainedValues(): Promise<Map<string, DenseParameter>> {
    const trained = new Map<string, DenseParameter>();
    for (const { plan, trainables } of this.layers) {
      for (const [name, value] of (await trainables?.values()) ?? []) trained.set(`${plan.prefix}.flatquant.${name}`, value);
    }
    for (const name of this.weightNames) {
      if (name.startsWith('model.layers.')) trained.set(name, await denseParameter(this.model.parameter(name)));
    }
    return trained;
  }
}

function ownParameters({ plan, trainables }: FlatquantLayer): TrainableParameter[] {
  if (!trainables) return [];
  const { raw, logits } = trainables.variables;
  const own: TrainableParameter[] = [
    { name: `${plan.prefix}.flatquant.transforms`, variable: raw, decays: false, rate: 'transforms' },
    { name: `${plan.prefix}.flatquant.clips`, variable: logits, decays: false, rate: 'clips' },
  ];
  return own.filter(({ variable }) => variable.size > 0);
}
