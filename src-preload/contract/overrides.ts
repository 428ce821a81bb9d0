/**
 * Mixed precision: which modules a pattern means, and which scheme a module gets. Shared, so that the workbench says beforehand what the
 * engine will do.
 */
import type { SchemeOverride } from './recipe.ts';
import { formatScheme, type QuantizationScheme } from './scheme.ts';

/** The seven linears of a decoder layer, in execution order, relative to `model.layers.N.`. */
export const layerLinears = [
  'self_attn.q_proj',
  'self_attn.k_proj',
  'self_attn.v_proj',
  'self_attn.o_proj',
  'mlp.gate_proj',
  'mlp.up_proj',
  'mlp.down_proj',
] as const;
export type LayerLinear = (typeof layerLinears)[number];

/** What decides the scheme of a module. */
export interface SchemeMap {
  scheme: QuantizationScheme;
  overrides?: readonly SchemeOverride[] | undefined;
}

/** Module names of all decoder linears of a model with that many layers, in execution order. */
export function decoderModules(layers: number): string[] {
  return Array.from({ length: layers }, (_, layer) => layerLinears.map((name) => `model.layers.${layer}.${name}`)).flat();
}

/** `*` stands for any text; a pattern matches the whole name or, without a leading `model.`, its end. */
export function matchesModule(pattern: string, module: string): boolean {
  const source = pattern
    .split(/\*+/)
    .map((part) => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&'))
    .join('.*');
  return new RegExp(`^(?:.*\\.)?${source}$`).test(module);
}

/** The scheme of `module`: that of the first override whose pattern matches, else the map's. Null leaves it unquantized. */
export function schemeOfModule({ scheme, overrides = [] }: SchemeMap, module: string): QuantizationScheme | null {
  const override = overrides.find(({ pattern }) => matchesModule(pattern, module));
  return override ? override.scheme : scheme;
}

/** `down_proj W8, layers.0.* float`; '' without overrides. */
export function overridesTitle(overrides: readonly SchemeOverride[] = []): string {
  return overrides.map(({ pattern, scheme }) => `${pattern} ${scheme ? formatScheme(scheme) : 'float'}`).join(', ');
}
