/**
 * Which parts of a model quantization hurts: each decoder layer (or each linear) is rounded alone under every candidate scheme, and the
 * mean KL divergence of the next-token distributions from the unquantized model's is measured on calibration text. Rounding is to the
 * nearest level: what a better method saves, it saves on top.
 */
import { setImmediate } from 'node:timers/promises';
import * as tf from '@tensorflow/tfjs-core';
import type { MixedPrecision } from '#contract/recipe.ts';
import { formatScheme, type QuantizationScheme } from '#contract/scheme.ts';
import { throwIfCancelled } from '../../data/cancellation.ts';
import { dequantizeLinear, packedLinearBytes } from '../../formats/packed-linear.ts';
import type { LanguageModel } from '../../model/language-model.ts';
import { FakeQuantizedLinear } from '../../model/linear-op.ts';
import { layerLinears, linearShape } from '../../model/parameters.ts';
import { groupSizeOf } from '../../observers/weight-observer.ts';
import { naming, readWeight } from '../layer-quantizer.ts';
import { quantizeRtn } from '../rtn.ts';
import { Divergence } from './divergence.ts';

/** A layer or a linear, and what each candidate costs there. */
export interface SensitivityUnit {
  /** Pattern of the unit's modules, as in overrides: `layers.3.*` or `layers.3.mlp.down_proj`. */
  pattern: string;
  modules: string[];
  weights: number;
  options: SensitivityOption[];
}

export interface SensitivityOption {
  scheme: QuantizationScheme;
  /** Mean KL(unquantized ‖ this unit quantized) per token, in nats. */
  divergence: number;
  /** Stored bytes of the unit's linears. */
  sizeBytes: number;
}

export interface ScanOptions {
  signal?: AbortSignal;
  onProgress?(done: number, total: number, detail: string): void;
}

/** Scans all units; the model is left as it was. Throws `numeric` naming a module, `cancelled`. */
export async function scanSensitivity(
  model: LanguageModel,
  samples: readonly Int32Array[],
  { candidates, granularity }: Pick<MixedPrecision, 'candidates' | 'granularity'>,
  { signal, onProgress }: ScanOptions = {},
): Promise<SensitivityUnit[]> {
  const units = unitsOf(model, granularity);
  const divergence = await Divergence.start(model, samples, signal);
  let done = 0;
  try {
    for (const [layer, list] of Map.groupBy(units, (unit) => unit.layer)) {
      for (const unit of list) {
        for (const scheme of candidates) {
          await setImmediate();
          throwIfCancelled(signal, 'The sensitivity scan');
          const restore = await roundUnit(model, unit.modules, scheme);
          const value = await divergence.from(layer);
          restore();
          unit.options.push({ scheme, divergence: value, sizeBytes: unitBytes(model, unit.modules, scheme) });
          onProgress?.(++done, units.length * candidates.length, `${unit.pattern} in ${formatScheme(scheme)}`);
        }
      }
      await divergence.advance(layer);
    }
  } finally {
    divergence.dispose();
  }
  return units.map(({ layer: _, ...unit }) => unit);
}

interface UnitInLayer extends SensitivityUnit {
  layer: number;
}

function unitsOf(model: LanguageModel, granularity: MixedPrecision['granularity']): UnitInLayer[] {
  const { config } = model;
  const unit = (layer: number, pattern: string, names: readonly string[]): UnitInLayer => {
    const modules = names.map((name) => `model.layers.${layer}.${name}`);
    const weights = modules.reduce((sum, module) => sum + linearShape(config, module)[0] * linearShape(config, module)[1], 0);
    return { layer, pattern, modules, weights, options: [] };
  };
  return Array.from({ length: config.layers }, (_, layer) =>
    granularity === 'layer'
      ? [unit(layer, `layers.${layer}.*`, layerLinears)]
      : layerLinears.map((name) => unit(layer, `layers.${layer}.${name}`, [name])),
  ).flat();
}

/** Replaces the modules' linears by rounded ones; the returned function brings the float ones back. */
export async function roundUnit(model: LanguageModel, modules: readonly string[], scheme: QuantizationScheme): Promise<() => void> {
  const rounded: tf.Tensor2D[] = [];
  for (const module of modules) {
    const { weight, shape } = await readWeight(model, module);
    const packed = await naming(module, () => quantizeRtn(weight, shape, scheme));
    const tensor = tf.keep(tf.tensor2d(dequantizeLinear(packed), [shape.outFeatures, shape.inFeatures]));
    rounded.push(tensor);
    model.setLinear(module, new FakeQuantizedLinear(model.parameters, module, () => tf.clone(tensor)));
  }
  return () => {
    for (const module of modules) model.restoreDense(module);
    tf.dispose(rounded);
  };
}

/** Stored bytes of modules under a scheme on an integer grid. */
export function unitBytes(model: LanguageModel, modules: readonly string[], scheme: QuantizationScheme): number {
  return modules.reduce((sum, module) => {
    const [outFeatures, inFeatures] = linearShape(model.config, module);
    return sum + packedLinearBytes({ ...scheme, outFeatures, inFeatures, groupSize: groupSizeOf(scheme, inFeatures) });
  }, 0);
}
