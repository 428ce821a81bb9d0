/** The error that other weights leave in the output of a block (attention, MLP or one linear) on calibration inputs. */
import * as tf from '@tensorflow/tfjs-core';
import type { LanguageModel } from '../model/language-model.ts';
import { linear } from '../ops/index.ts';
import type { AwqFold } from './awq-folds.ts';

export class BlockOutput {
  private readonly model: LanguageModel;
  private readonly compute: () => tf.Tensor;
  private readonly expected: tf.Tensor;

  /**
   * @param input [blocks, tokens, hidden] for the attention, else [rows, in]; belongs to the caller
   * @param module the linear, where that is what is inspected
   */
  constructor(model: LanguageModel, index: number, inspected: AwqFold['inspected'], input: tf.Tensor, module: string) {
    this.model = model;
    if (inspected === 'attention') this.compute = () => model.attention(index, input as tf.Tensor3D);
    else if (inspected === 'mlp') this.compute = () => model.mlp(index, input);
    else this.compute = () => linear(input, model.parameter(`${module}.weight`) as tf.Tensor2D);
    this.expected = tf.keep(tf.tidy(this.compute));
  }

  /** Mean squared difference of the output when these dense linears of the model compute with other weights. */
  async error(weights: ReadonlyMap<string, Float32Array>): Promise<number> {
    const difference = tf.tidy(() => tf.mean(tf.square(tf.sub(this.withWeights(weights), this.expected))));
    const [value] = await difference.data<'float32'>();
    difference.dispose();
    return value!;
  }

  dispose(): void {
    this.expected.dispose();
  }

  private withWeights(weights: ReadonlyMap<string, Float32Array>): tf.Tensor {
    const { parameters } = this.model;
    const originals = new Map<string, tf.Tensor>();
    try {
      for (const [module, values] of weights) {
        const name = `${module}.weight`;
        const original = this.model.parameter(name);
        originals.set(name, original);
        parameters.set(name, tf.tensor(values, original.shape));
      }
      return this.compute();
    } finally {
      for (const [name, original] of originals) parameters.set(name, original);
    }
  }
}
