/** Where the diagonals start: a balance between the largest weight and the largest activation of every input (SmoothQuant's, as FlatQuant uses it). */
import * as tf from '@tensorflow/tfjs-core';
import type { LanguageModel } from '../../model/language-model.ts';
import { siteModules } from '../../model/layer-activations.ts';
import type { Calibrator } from '../calibrator.ts';
import { type DiagonalSite, diagonalSites, type LayerPlan } from './layer-plan.ts';

/** FlatQuant's code clamps here, so that an input without weights still has an inverse. */
const smallest = 1e-5;
/** Inputs that no calibration token uses would otherwise have an infinite diagonal. */
const smallestActivation = 1e-5;

/** max|W column|^(1 − alpha) / max|x column|^alpha by site, on the layer's float inputs. */
export async function initialDiagonals(
  model: LanguageModel,
  plan: LayerPlan,
  calibrator: Calibrator,
  alpha: number,
): Promise<Map<DiagonalSite, Float64Array>> {
  const sites = diagonalSites.filter((site) => plan.splits[site]);
  const largest = new Map<DiagonalSite, tf.Tensor1D>();
  const siteOf = new Map(sites.map((site) => [`${plan.prefix}.${siteModules[site][0]}`, site]));
  const diagonals = new Map<DiagonalSite, Float64Array>();
  try {
    await calibrator.forEachBatch((input) => {
      const onLinearInput = (module: string, x: tf.Tensor2D) => {
        const site = siteOf.get(module);
        if (site) replaceByLarger(largest, site, x);
      };
      model.layer(plan.index, input, { onLinearInput }).dispose();
    });
    for (const site of sites) {
      const activations = await largest.get(site)!.data<'float32'>();
      const weights = await largestWeights(model, plan, site);
      const value = (i: number) => weights[i]! ** (1 - alpha) / Math.max(activations[i]!, smallestActivation) ** alpha;
      diagonals.set(
        site,
        Float64Array.from(weights, (_, i) => Math.max(smallest, value(i))),
      );
    }
    return diagonals;
  } finally {
    tf.dispose([...largest.values()]);
  }
}

function replaceByLarger(largest: Map<DiagonalSite, tf.Tensor1D>, site: DiagonalSite, x: tf.Tensor2D): void {
  const previous = largest.get(site);
  const next = tf.tidy(() => {
    const here = tf.max(tf.abs(x), 0) as tf.Tensor1D;
    return tf.keep(previous ? (tf.maximum(previous, here) as tf.Tensor1D) : here);
  });
  previous?.dispose();
  largest.set(site, next);
}

async function largestWeights(model: LanguageModel, plan: LayerPlan, site: DiagonalSite): Promise<Float32Array> {
  const largest = tf.tidy(() => {
    const weights = siteModules[site].map((name) => model.linear(`${plan.prefix}.${name}`).weight());
    return tf.max(tf.abs(tf.concat(weights)), 0);
  });
  const values = await largest.data<'float32'>();
  largest.dispose();
  return values;
}
