/** Rules of mixed precision as they are typed, and what is wrong with them. Pure. */
import { toErrorInfo } from '#contract/errors.ts';
import { decoderModules, matchesModule } from '#contract/overrides.ts';
import { codingProblem, type QuantizationMethod, type SchemeOverride } from '#contract/recipe.ts';
import type { ModelInspection } from '#contract/records.ts';
import { formatScheme, parseScheme } from '#contract/scheme.ts';
import { schemeSize } from '../../format/scheme-size.ts';

export interface Rule {
  pattern: string;
  /** A written scheme; null keeps the modules in float. */
  scheme: string | null;
}

export interface RuleState {
  /** Modules of the first model that this rule decides; null while no model is known. */
  modules: number | null;
  problem: string;
}

export const rulesOf = (overrides: readonly SchemeOverride[]): Rule[] =>
  overrides.map(({ pattern, scheme }) => ({ pattern, scheme: scheme && formatScheme(scheme) }));

/** Throws `bad-input` for a scheme that cannot be read. */
export const overridesOf = (rules: readonly Rule[]): SchemeOverride[] =>
  rules.map(({ pattern, scheme }) => ({ pattern: pattern.trim(), scheme: scheme === null ? null : parseScheme(scheme) }));

/** One per rule. The first rule that matches decides, so later ones may be left without modules. */
export function checkRules(rules: readonly Rule[], models: readonly ModelInspection[], method: QuantizationMethod): RuleState[] {
  const layers = models[0]?.layers ?? 0;
  const left = new Set(decoderModules(layers));
  return rules.map((rule) => {
    const pattern = rule.pattern.trim();
    const own = pattern === '' ? [] : [...left].filter((module) => matchesModule(pattern, module));
    for (const module of own) left.delete(module);
    const modules = layers > 0 ? own.length : null;
    return { modules, problem: problemOf({ ...rule, pattern }, own, { models, method, layers }) };
  });
}

function problemOf(
  { pattern, scheme }: Rule,
  own: readonly string[],
  { models, method, layers }: { models: readonly ModelInspection[]; method: QuantizationMethod; layers: number },
): string {
  if (pattern === '') return 'Enter a module name; * stands for any text.';
  const missing = models.find(
    (model) => model.layers > 0 && !decoderModules(model.layers).some((module) => matchesModule(pattern, module)),
  );
  if (missing) return `${missing.name} has no linear of that name.`;
  if (layers > 0 && own.length === 0) return 'Rules above already decide all these modules.';
  if (scheme === null) return '';
  try {
    const parsed = parseScheme(scheme);
    const refused = codingProblem(method, parsed);
    if (refused) return `${refused}.`;
    const size = models.map((model) =>
      schemeSize(model, {
        scheme: parsed,
        overrides: [
          { pattern, scheme: parsed },
          { pattern: '*', scheme: null },
        ],
      }),
    );
    return size.find(({ unsupported }) => unsupported !== null)?.unsupported ?? '';
  } catch (error) {
    return toErrorInfo(error).message;
  }
}
