/**
 * The quantize stage that a command line asks for. Everything is checked before any work: options of another method, options that
 * contradict each other or would have no effect, and values out of range, each named as it was typed.
 */
import { z } from 'zod';
import { RoundoffError } from '#contract/errors.ts';
import { methodTitle, type QuantizeStage, quantizeStageSchema, schemeOverrideSchema } from '#contract/recipe.ts';
import { parseScheme, type QuantizationScheme, quantizationSchemeSchema } from '#contract/scheme.ts';
import { readJsonObject } from '../engine/data/json-file.ts';
import { userPath } from './options.ts';
import { longOf, nameOf, type QuantizeFlag, type QuantizeFlags, quantizeFlags, usualCandidates, usualText } from './quantize-flags.ts';

interface Finding {
  message: string;
  hint: string;
}

/**
 * Throws `bad-input` that lists everything wrong with the options, and `not-found` or `bad-input` for the overrides' file. Whether schemes
 * fit the model is found out when it is opened.
 */
export async function quantizeStage(flags: QuantizeFlags, resourcesDir: string): Promise<QuantizeStage> {
  refuse([...foreignOptions(flags), ...contradictions(flags), ...textFindings(flags)]);
  const file = flags.overrides === undefined ? null : await readOverrides(userPath(flags.overrides, resourcesDir));
  const candidates = flags.mixedBudget === undefined ? undefined : candidatesOf(flags).split(',').map(parseScheme);
  const scheme = flags.scheme === undefined ? (file?.scheme ?? withoutActivations(candidates?.[0])) : parseScheme(flags.scheme);
  if (!scheme) throw new RoundoffError('bad-input', `${titleOf(flags)} needs a scheme.`, schemeHint(flags));
  refuse(clipFindings(flags, [scheme, ...(file?.overrides ?? []).map((override) => override.scheme), ...(candidates ?? [])]));
  const stage = gather(flags, resourcesDir, { scheme, overrides: file?.overrides, candidates });
  const parsed = quantizeStageSchema.safeParse(stage);
  if (parsed.success) return parsed.data;
  refuse(parsed.error.issues.map((issue) => asTyped(issue, flags)));
  throw parsed.error;
}

function refuse(findings: readonly Finding[]): void {
  const [first] = findings;
  if (first) throw new RoundoffError('bad-input', first.message, first.hint, { problems: findings.map(({ message }) => message) });
}

function titleOf({ method }: QuantizeFlags): string {
  return `${methodTitle(method)} (--method ${method})`;
}

/** The options that were typed, with `--no-…` where that was said. */
function typed(flags: QuantizeFlags): QuantizeFlag[] {
  return quantizeFlags.filter((flag) => {
    const value = flags[nameOf(flag)];
    return typeof value === 'boolean' ? value !== longOf(flag).startsWith('--no-') : value !== undefined;
  });
}

function foreignOptions(flags: QuantizeFlags): Finding[] {
  return typed(flags)
    .filter(({ methods }) => !methods.includes(flags.method))
    .map((flag) => ({
      message: `${longOf(flag)} belongs to ${flag.methods.join(', ')}, not to ${flags.method}.`,
      hint: 'Leave it out, or choose another --method.',
    }));
}

function contradictions(flags: QuantizeFlags): Finding[] {
  const { calibration, solutions, overrides, mixedBudget, mixedSchemes, mixedGranularity, method, weights } = flags;
  const findings: Finding[] = [];
  const found = (message: string, hint: string) => findings.push({ message, hint });
  if (calibration !== undefined && solutions !== undefined)
    found('--calibration and --solutions are both given.', 'Calibrate on a text, or on the model’s own solutions.');
  if (overrides !== undefined && mixedBudget !== undefined)
    found('--overrides and --mixed-budget are both given.', 'Give the schemes of modules, or let a sensitivity scan choose them.');
  if (mixedBudget === undefined && (mixedSchemes !== undefined || mixedGranularity !== undefined))
    found(`--mixed-${mixedSchemes === undefined ? 'granularity' : 'schemes'} is given without --mixed-budget.`, 'Give the budget too.');
  const ofGptq = typed(flags).filter(({ path }) => path === 'options.dampPercent' || path === 'options.blockSize');
  if (method === 'quarot' && weights === 'rtn')
    for (const flag of ofGptq) found(`${longOf(flag)} has no effect with --weights rtn.`, 'Leave it out, or round by GPTQ.');
  return findings;
}

/** Whether anything of the stage reads calibration text; of the method alone with `methodOnly`. */
function readsText({ method, weights, mixedBudget }: QuantizeFlags, methodOnly = false): boolean {
  if (mixedBudget !== undefined && !methodOnly) return true;
  return method === 'gptq' || method === 'awq' || method === 'flatquant' || (method === 'quarot' && weights !== 'rtn');
}

function textFindings(flags: QuantizeFlags): Finding[] {
  const given = typed(flags);
  const { solutions, calibration, method } = flags;
  const who = method === 'quarot' && flags.weights === 'rtn' ? 'quarot with --weights rtn' : method;
  const spill = given.filter(({ path }) => path === 'spillActivations' && !readsText(flags, true));
  const unread = readsText(flags) ? spill : [...given.filter(({ path }) => path.startsWith('calibration')), ...spill];
  const findings = unread.map((flag) => ({
    message: `${longOf(flag)} has no effect: ${who} reads no calibration text.`,
    hint: 'Leave it out.',
  }));
  if (!readsText(flags)) return findings;
  if (solutions === undefined) {
    for (const flag of given.filter(({ path }) => path.startsWith('calibration.solutions')))
      findings.push({ message: `${longOf(flag)} is given without --solutions.`, hint: 'Name the problems with --solutions FILE.' });
  }
  if (solutions === undefined && calibration === undefined) {
    const title = readsText(flags, true) ? titleOf(flags) : '--mixed-budget';
    findings.push({
      message: `${title} needs calibration text.`,
      hint: 'Give it with --calibration FILE, for example sample:calibration/abacus.jsonl, or have it sampled with --solutions PROBLEMS.',
    });
  }
  return findings;
}

function clipFindings(flags: QuantizeFlags, schemes: readonly (QuantizationScheme | null)[]): Finding[] {
  const hint = 'Leave it out, or choose a scheme such as W4A4KV4.';
  const useless = [
    ['activationClip', schemes.some((scheme) => scheme?.activationBits), '--activation-clip', 'activations'],
    ['kvClip', schemes.some((scheme) => scheme?.kvBits), '--kv-clip', 'keys and values'],
  ] as const;
  return useless
    .filter(([name, isRounded]) => flags[name] !== undefined && !isRounded)
    .map(([, , long, what]) => ({ message: `${long} has no effect: the scheme leaves ${what} in float.`, hint }));
}

function candidatesOf({ method, mixedSchemes }: QuantizeFlags): string {
  return mixedSchemes ?? (method === 'nf4' ? 'NF4,NF4:double' : usualCandidates);
}

function schemeHint({ method }: QuantizeFlags): string {
  const usual = { nf4: 'NF4', int8: 'INT8', quarot: 'W4A4KV4', flatquant: 'W4A4KV4' } as Partial<Record<string, string>>;
  return `Give --scheme, for example --scheme ${usual[method] ?? 'W4G128'}.`;
}

/** Every candidate keeps its own widths of activations; those of a stage's scheme would be given to all. */
function withoutActivations(scheme: QuantizationScheme | undefined): QuantizationScheme | undefined {
  if (!scheme) return undefined;
  const { activationBits: _, kvBits: __, ...weights } = scheme;
  return weights;
}

const overridesFileSchema = z.strictObject({ scheme: quantizationSchemeSchema.optional(), overrides: z.array(schemeOverrideSchema) });

async function readOverrides(file: string): Promise<z.infer<typeof overridesFileSchema>> {
  const hint = 'Write {"scheme": …, "overrides": [{"pattern": "layers.0.*", "scheme": …}]}, as `sensitivity --out` does.';
  const parsed = overridesFileSchema.safeParse(await readJsonObject(file, { hint }));
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map(({ path, message }) => `${file}: ${path.join('.') || '(top)'}: ${message}`);
  throw new RoundoffError('bad-input', problems[0]!, hint, { problems });
}

interface Read {
  scheme: QuantizationScheme;
  overrides: unknown;
  candidates: readonly QuantizationScheme[] | undefined;
}

/** A stage with what was given and nothing else, so that all other defaults are the schema's. */
function gather(flags: QuantizeFlags, resourcesDir: string, { scheme, overrides, candidates }: Read): unknown {
  const stage: Record<string, unknown> = { type: 'quantize', method: flags.method };
  if (flags.solutions !== undefined) stage.calibration = { solutions: {} };
  for (const flag of typed(flags)) place(stage, flag.path.split('.'), flags[nameOf(flag)]);
  Object.assign(stage, { scheme }, overrides === undefined ? {} : { overrides });
  const text = flags.calibration ?? flags.solutions;
  const calibration = text !== undefined && { ...usualText, ...(stage.calibration as object), path: userPath(text, resourcesDir) };
  delete stage.calibration;
  if (calibration && readsText(flags, true)) Object.assign(stage, { calibration });
  if (candidates && calibration) Object.assign(stage.mixed as object, { candidates, calibration });
  return stage;
}

function place(target: Record<string, unknown>, [name, ...rest]: readonly string[], value: unknown): void {
  if (rest.length === 0) {
    target[name!] = value;
    return;
  }
  target[name!] ??= {};
  place(target[name!] as Record<string, unknown>, rest, value);
}

/** What is wrong with a stage in terms of the option that said so. */
function asTyped({ path, message }: z.core.$ZodIssue, flags: QuantizeFlags): Finding {
  const where = path
    .map(String)
    .join('.')
    .replace(/^mixed\.calibration/, 'calibration');
  const flag = typed(flags).find((given) => where === given.path || where.startsWith(`${given.path}.`));
  const rest = flag && where !== flag.path ? `, ${where}` : '';
  const value = flag && typeof flags[nameOf(flag)] !== 'boolean' ? ` ${String(flags[nameOf(flag)])}` : '';
  return {
    message: `${flag ? `${longOf(flag)}${value}${rest}` : where}: ${message}.`,
    hint: 'See "quantize --help" for what each option takes.',
  };
}
