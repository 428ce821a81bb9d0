/**
 * What AWQ keeps of a layer's float inputs, gathered while the calibrator computes the layer's outputs: for each place that linears read,
 * the mean magnitude of every channel over all tokens, a sample of tokens, and second moments; before the attention also whole blocks of
 * consecutive tokens, because the attention's output depends on their order. A stride is odd, so that it meets every position of a sample.
 */
import * as tf from '@tensorflow/tfjs-core';
import { RoundoffError } from '#contract/errors.ts';
import type { LayerHooks } from '../model/language-model.ts';
import { type InputSite, inputSites, siteModules } from '../model/layer-activations.ts';
import type { Calibrator } from './calibrator.ts';
import { InputStatistics } from './input-statistics.ts';

/** Tokens on which a block's output error is measured during the scale search (llm-awq takes all, at a cost that grows with them). */
export const searchTokens = 2048;
/** Tokens of an attention block, from the beginning of a sample. */
export const blockTokens = 512;
/** Tokens whose second moments give the output errors that are reported; of more, every third, fifth … is taken. */
export const momentTokens = 32768;

export interface SiteFeatures {
  /** [in], mean of |x| over all tokens. */
  meanMagnitude: Float32Array;
  /** [at most `searchTokens`, in]; belongs to the features. */
  sample: tf.Tensor2D;
  statistics: InputStatistics;
}

class SiteObserver {
  readonly statistics = new InputStatistics();
  private magnitudes: tf.Tensor2D | null = null;
  private pieces: tf.Tensor2D[] = [];
  private readonly tokens: number;
  private seen = 0;

  constructor(tokens: number) {
    this.tokens = tokens;
  }

  /** @param input [rows, in] */
  add(input: tf.Tensor2D): void {
    const [rows] = input.shape;
    const previous = this.magnitudes;
    this.magnitudes = tf.tidy(() => {
      const sums = tf.matMul(tf.ones([1, rows]), tf.abs(input)) as tf.Tensor2D;
      return tf.keep(previous ? tf.add(previous, sums) : sums);
    });
    previous?.dispose();
    const piece = strided(input, this.seen, strideFor(this.tokens, searchTokens));
    if (piece) this.pieces.push(piece);
    const moments = strided(input, this.seen, strideFor(this.tokens, momentTokens));
    if (moments) this.statistics.add(moments);
    moments?.dispose();
    this.seen += rows;
  }

  async features(names: string): Promise<SiteFeatures> {
    const sums = await this.magnitudes!.data<'float32'>();
    if (!sums.every(Number.isFinite)) {
      throw new RoundoffError(
        'numeric',
        `${names}: The calibration inputs of this linear are NaN or infinite.`,
        'An earlier layer overflows on this text; check the model with "model inspect" and evaluate it unquantized first.',
      );
    }
    if (this.pieces.length > 1) {
      const whole = tf.keep(tf.concat(this.pieces));
      tf.dispose(this.pieces);
      this.pieces = [whole];
    }
    return { meanMagnitude: sums.map((sum) => sum / this.seen), sample: this.pieces[0]!, statistics: this.statistics };
  }

  dispose(): void {
    this.magnitudes?.dispose();
    tf.dispose(this.pieces);
    this.statistics.dispose();
  }
}

export class LayerFeatures {
  readonly hooks: LayerHooks;
  private readonly sites: Record<InputSite, SiteObserver>;
  /** [1, block, hidden] each. */
  private readonly blocks: tf.Tensor3D[] = [];
  private readonly prefix: string;

  constructor(index: number, { samples, sequenceLength }: Pick<Calibrator, 'samples' | 'sequenceLength'>) {
    this.prefix = `model.layers.${index}`;
    const tokens = samples * sequenceLength;
    this.sites = Object.fromEntries(inputSites.map((site) => [site, new SiteObserver(tokens)])) as Record<InputSite, SiteObserver>;
    const length = Math.min(sequenceLength, blockTokens);
    const count = Math.min(samples, Math.max(1, Math.floor(searchTokens / length)));
    const chosen = new Set(Array.from({ length: count }, (_, block) => Math.floor((block * samples) / count)));
    let seen = 0;
    const keepBlocks = (input: tf.Tensor2D) => {
      for (let row = 0; row < input.shape[0]; row += sequenceLength) {
        if (!chosen.has(seen++)) continue;
        const block = tf.tidy(() => tf.reshape(tf.slice(input, [row, 0], [length, -1]), [1, length, -1]));
        this.blocks.push(tf.keep(block) as tf.Tensor3D);
      }
    };
    this.hooks = {
      onLinearInput: (module, input) => {
        const site = inputSites.find((name) => module === `${this.prefix}.${siteModules[name][0]}`);
        if (!site) return;
        this.sites[site].add(input);
        if (site === 'attentionInput') keepBlocks(input);
      },
    };
  }

  /** Throws `numeric` naming the linears that read inputs which are not finite. */
  site(site: InputSite): Promise<SiteFeatures> {
    return this.sites[site].features(siteModules[site].map((name) => `${this.prefix}.${name}`).join(', '));
  }

  /** Normalised inputs of the attention, [blocks, tokens, hidden]. The caller disposes them. */
  attentionBlocks(): tf.Tensor3D {
    return tf.concat(this.blocks);
  }

  dispose(): void {
    for (const site of inputSites) this.sites[site].dispose();
    tf.dispose(this.blocks);
  }
}

/** Every how many tokens one is taken so that at most about `wanted` are. */
export function strideFor(tokens: number, wanted: number): number {
  return tokens <= wanted ? 1 : Math.ceil(tokens / wanted) | 1;
}

/** The rows of a batch, whose first row is number `seen`, that a stride over all rows meets; kept. Null for none. */
function strided(input: tf.Tensor2D, seen: number, stride: number): tf.Tensor2D | null {
  const [rows, columns] = input.shape;
  const first = (stride - (seen % stride)) % stride;
  if (first >= rows) return null;
  return tf.keep(stride === 1 ? tf.clone(input) : tf.stridedSlice(input, [first, 0], [rows, columns], [stride, 1])) as tf.Tensor2D;
}
