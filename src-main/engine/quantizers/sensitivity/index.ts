/** Sensitivity of a model to quantization, and the mixed-precision scheme that follows from it. */
import type { MixedPrecision } from '#contract/recipe.ts';
import type { LanguageModel } from '../../model/language-model.ts';
import { Divergence } from './divergence.ts';
import { type MixedProposal, proposeMixedScheme } from './propose.ts';
import { roundUnit, type ScanOptions, type SensitivityUnit, scanSensitivity, unitBytes } from './scan.ts';

export type { MixedProposal } from './propose.ts';
export type { SensitivityOption, SensitivityUnit } from './scan.ts';

export interface SensitivityReport {
  units: SensitivityUnit[];
  proposal: MixedProposal;
  /** Divergence of the whole model rounded as proposed, and of the whole model under each candidate. */
  measured: { proposal: number; uniform: { scheme: MixedPrecision['candidates'][number]; divergence: number; bitsPerWeight: number }[] };
}

/** Scans, proposes, and measures the proposal beside the uniform schemes. The model is left as it was. */
export async function analyseSensitivity(
  model: LanguageModel,
  samples: readonly Int32Array[],
  settings: Pick<MixedPrecision, 'candidates' | 'granularity' | 'budgetBits'>,
  options: ScanOptions = {},
): Promise<SensitivityReport> {
  const units = await scanSensitivity(model, samples, settings, options);
  const proposal = proposeMixedScheme(units, settings.budgetBits);
  const divergence = await Divergence.start(model, samples, options.signal);
  const weights = units.reduce((sum, unit) => sum + unit.weights, 0);
  const measure = async (schemes: readonly (readonly [readonly string[], MixedPrecision['candidates'][number]])[]) => {
    const restore: (() => void)[] = [];
    for (const [modules, scheme] of schemes) restore.push(await roundUnit(model, modules, scheme));
    const value = await divergence.from(0);
    for (const undo of restore) undo();
    return value;
  };
  try {
    const proposed = await measure(units.map(({ modules }, index) => [modules, proposal.choices[index]!.option.scheme] as const));
    const uniform: SensitivityReport['measured']['uniform'] = [];
    for (const scheme of settings.candidates) {
      const modules = units.flatMap((unit) => unit.modules);
      const bitsPerWeight = (8 * unitBytes(model, modules, scheme)) / weights;
      uniform.push({ scheme, divergence: await measure([[modules, scheme]]), bitsPerWeight });
    }
    return { units, proposal, measured: { proposal: proposed, uniform } };
  } finally {
    divergence.dispose();
  }
}
