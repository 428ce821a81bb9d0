/** All weights of a float model, trained as they are. */
import * as tf from '@tensorflow/tfjs-core';
import type { SavedCheckpoint } from '../../formats/quantized-checkpoint.ts';
import type { LanguageModel } from '../../model/language-model.ts';
import { recomputingForward } from '../recompute.ts';
import type { ForwardPass, SavedModel, SaveOptions, TrainableParameter, Trainee } from '../trainee.ts';

export interface WeightsTraineeOptions {
  /** The trainee frees the model with itself. */
  ownsModel: boolean;
  /** Recompute layers in the backward pass. */
  activationCheckpointing?: boolean;
  /** Writes the model folder; a trainee without it cannot be saved. */
  save?(dir: string, options: SaveOptions): Promise<SavedCheckpoint>;
}

export class WeightsTrainee implements Trainee {
  readonly notes: readonly string[] = [];
  readonly parameters: readonly TrainableParameter[];
  private readonly model: LanguageModel;
  private readonly options: WeightsTraineeOptions;

  constructor(model: LanguageModel, options: WeightsTraineeOptions) {
    this.model = model;
    this.options = options;
    this.parameters = [...model.parameters.keys()].map((name) => trainableParameter(model, name));
  }

  get config() {
    return this.model.config;
  }

  async beginStep(): Promise<void> {}

  leaves(): readonly tf.Tensor[] {
    return this.parameters.map(({ variable }) => variable);
  }

  async parameterGradients(leafGradients: tf.Tensor[]): Promise<tf.Tensor[]> {
    return leafGradients;
  }

  forward(ids: tf.Tensor2D, { lengths }: ForwardPass): tf.Tensor3D {
    if (!this.options.activationCheckpointing) return this.model.forward(ids, { lengths });
    const leaves = this.parameters.map(({ name, variable }) => ({ name, tensor: variable }));
    return recomputingForward(this.model, ids, leaves, (index, hidden) => this.model.layer(index, hidden, { lengths }));
  }

  headWeight(): tf.Tensor2D {
    return this.model.headWeight();
  }

  async generationModel() {
    return { model: this.model, release: () => {} };
  }

  async save(dir: string, options: SaveOptions): Promise<SavedModel> {
    if (!this.options.save) throw new Error('this trainee was made without a way to save it');
    return { checkpoint: await this.options.save(dir, options), quantizedBytes: null, bitsPerWeight: null };
  }

  dispose(): void {
    if (this.options.ownsModel) this.model.dispose();
  }
}

/** Turns a parameter of the model into a variable, under the same name. */
export function trainableParameter(model: LanguageModel, name: string): TrainableParameter {
  const tensor = model.parameter(name);
  const variable = tf.variable(tensor);
  tensor.dispose();
  model.parameters.set(name, variable);
  return weightParameter(name, variable);
}

/** Matrices decay, norms, biases and embeddings do not. */
export function weightParameter(name: string, variable: tf.Variable): TrainableParameter {
  return { name, variable, decays: variable.rank > 1 && !name.includes('embed_tokens'), rate: 'weights' };
}
