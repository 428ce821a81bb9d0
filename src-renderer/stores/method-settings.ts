/** Settings that all variants of one method in a draft share. Defaults are the schemas' own. Pure. */
import {
  awqOptionsSchema,
  flatquantOptionsSchema,
  gptqOptionsSchema,
  int8OptionsSchema,
  nf4OptionsSchema,
  type QuantizationMethod,
  quarotOptionsSchema,
  rtnOptionsSchema,
  type StageOf,
} from '#contract/recipe.ts';

export interface MethodSettings<M extends QuantizationMethod> {
  options: StageOf<M>['options'];
  /** Left out, the method's usual clip applies. */
  activationClip?: number | undefined;
  kvClip?: number | undefined;
  spillActivations?: boolean | undefined;
}
export type SettingsByMethod = { [M in QuantizationMethod]: MethodSettings<M> };

export function defaultSettings(): SettingsByMethod {
  return {
    rtn: { options: rtnOptionsSchema.parse({}) },
    gptq: { options: gptqOptionsSchema.parse({}) },
    awq: { options: awqOptionsSchema.parse({}) },
    nf4: { options: nf4OptionsSchema.parse({}) },
    int8: { options: int8OptionsSchema.parse({}) },
    quarot: { options: quarotOptionsSchema.parse({}) },
    flatquant: { options: flatquantOptionsSchema.parse({}) },
  };
}

/** Methods that read calibration text, in the contract's order. */
export const calibratedMethods: readonly QuantizationMethod[] = ['gptq', 'awq', 'quarot', 'flatquant'];

export function needsCalibration(method: QuantizationMethod): boolean {
  return calibratedMethods.includes(method);
}
