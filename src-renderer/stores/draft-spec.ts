/**
 * The wizard's draft and the study it stands for. Variants that are one quantize stage with the settings their method shares are cells, those
 * that train as well are chains; anything else in a preset (other settings, another order) is kept as it is, beside them. What a preset leaves
 * to choose (`choose:` paths) is missing in its draft until it is chosen. Pure.
 */
import { isText } from '#contract/benchmarks.ts';
import { choiceName, isChoice, mapStagePaths, openChoices } from '#contract/choices.ts';
import { neededPlaceholders, standardVerifiers, type TemplateSlot } from '#contract/prompt-templates.ts';
import { type BenchmarkReference, canonicalJson, type EvaluationProtocol } from '#contract/protocol.ts';
import {
  type CalibrationSettings,
  type ExportFormat,
  methodTitle,
  type QuantizationMethod,
  type QuantizeStage,
  quantizationMethods,
  type SchemeOverride,
  type Stage,
  type StudySpec,
  type StudyVariant,
} from '#contract/recipe.ts';
import type { QuantizationScheme } from '#contract/scheme.ts';
import { fieldLabel } from '../format/training-info.ts';
import { cellTitle, freeTitle } from './cell-names.ts';
import { asChain, chainIssues, chainStages, type DraftChain, type DraftStart, type StageMaker } from './draft-chains.ts';
import { defaultSettings, needsCalibration, type SettingsByMethod } from './method-settings.ts';

export interface DraftCell {
  name: string;
  method: QuantizationMethod;
  scheme: QuantizationScheme;
  /** Mixed precision; empty without. */
  overrides: SchemeOverride[];
  exports: ExportFormat[];
}

export interface StudyDraft {
  name: string;
  description: string;
  models: string[];
  cells: DraftCell[];
  chains: DraftChain[];
  custom: StudyVariant[];
  settings: SettingsByMethod;
  calibration: CalibrationSettings | null;
  seeds: number[];
  benchmarks: BenchmarkReference[];
  protocol: EvaluationProtocol;
  backend: StudySpec['backend'];
}

export const defaultProtocol: EvaluationProtocol = {
  temperature: 0.6,
  topP: 0.95,
  topK: 0,
  maxNewTokens: 1024,
  seeds: [42, 43, 44],
  systemPrompt: null,
  promptTemplate: '{question}',
  verifier: standardVerifiers.maths,
  problemsPerBenchmark: null,
};

export const defaultCalibration: CalibrationSettings = { path: '', samples: 128, sequenceLength: 256, seed: 42 };

export function emptyDraft(): StudyDraft {
  return {
    name: 'New study',
    description: '',
    models: [],
    cells: [],
    chains: [],
    custom: [],
    settings: defaultSettings(),
    calibration: null,
    seeds: [42],
    benchmarks: [],
    protocol: { ...defaultProtocol },
    backend: 'auto',
  };
}

export function draftFromSpec(spec: StudySpec): StudyDraft {
  const quantize = spec.variants.flatMap((variant) => variant.stages).filter((stage) => stage.type === 'quantize');
  // Also of a stage that names a set without reading it, as QuaRot does when it rounds to nearest.
  const calibration = quantize.flatMap((stage) => ('calibration' in stage && stage.calibration ? [stage.calibration] : []))[0] ?? null;
  const draft: StudyDraft = {
    name: spec.name,
    description: spec.description,
    models: spec.models.filter((model) => !isChoice(model)),
    cells: [],
    chains: [],
    custom: [],
    settings: sharedSettings(quantize),
    calibration: calibration && plainCalibration(calibration),
    seeds: [...spec.seeds],
    benchmarks: spec.benchmarks.map((benchmark) => ({ ...benchmark })),
    protocol: copyProtocol(spec.protocol),
    backend: spec.backend,
  };
  for (const variant of spec.variants) {
    const cell = asCell(variant);
    const chain = asChain(variant);
    const isSame = (stages: StudyVariant['stages']) => canonicalJson(stages) === canonicalJson(variant.stages);
    if (cell && isSame(cellStages(cell, draft))) draft.cells.push(cell);
    else if (chain && isSame(chainStagesOf(chain, draft))) draft.chains.push(chain);
    else draft.custom.push(variant);
  }
  return draft;
}

/** The study a draft stands for. Some methods need a calibration set; `draftProblems` says so before. */
export function specFromDraft(draft: StudyDraft): StudySpec {
  return {
    name: draft.name.trim(),
    description: draft.description.trim(),
    models: [...draft.models],
    variants: [
      ...draft.cells.map((cell) => ({ name: cell.name, stages: cellStages(cell, draft) })),
      ...draft.chains.map((chain) => ({ name: chain.name.trim(), stages: chainStagesOf(chain, draft) })),
      ...draft.custom,
    ],
    seeds: [...draft.seeds],
    benchmarks: draft.benchmarks.map((benchmark) => JSON.parse(JSON.stringify(benchmark)) as BenchmarkReference),
    protocol: copyProtocol(draft.protocol),
    backend: draft.backend,
  };
}

/** A protocol is plain data; the draft's own copy may be changed part by part. */
function copyProtocol(protocol: EvaluationProtocol): EvaluationProtocol {
  return JSON.parse(JSON.stringify(protocol)) as EvaluationProtocol;
}

/** Titles of the draft's methods that read calibration text, in the contract's order. */
export function calibratedTitles(draft: StudyDraft): string[] {
  const used = new Set([
    ...draft.cells.map((cell) => cell.method),
    ...draft.chains.flatMap(({ quantization }) => (quantization ? [quantization.method] : [])),
  ]);
  return quantizationMethods.filter((method) => used.has(method) && needsCalibration(method)).map(methodTitle);
}

/** What each wizard step still lacks, as sentences. Empty when the step is complete. */
export function draftProblems(draft: StudyDraft): DraftProblems {
  const calibrated = calibratedTitles(draft);
  const data: string[] = [];
  const calibration = draft.calibration?.path ?? '';
  if (calibrated.length > 0 && isChoice(calibration)) data.push(`Choose the calibration set: ${choiceName(calibration)}.`);
  for (const { path } of draft.benchmarks.filter((benchmark) => isChoice(benchmark.path)))
    data.push(`Choose the file of ${choiceName(path)}, or untick it.`);
  if (calibrated.length > 0 && calibration === '')
    data.push(`Choose a calibration set: ${calibrated.join(', ')} ${calibrated.length === 1 ? 'needs' : 'need'} one.`);
  const template = draft.calibration?.solutions?.promptTemplate;
  if (template !== undefined && !template.includes('{question}'))
    data.push('The prompt template of the solutions must contain {question}.');
  if (draft.benchmarks.length === 0) data.push('Choose at least one benchmark.');
  if (new Set(draft.benchmarks.map(({ name }) => name)).size < draft.benchmarks.length) data.push('Two benchmarks have the same name.');
  if (draft.protocol.seeds.length === 0) data.push('Enter at least one evaluation seed.');
  if (!draft.protocol.promptTemplate.includes('{question}')) data.push('The prompt template must contain {question}.');
  for (const [slot, text] of Object.entries(draft.protocol.templates ?? {})) {
    const missing = neededPlaceholders[slot as TemplateSlot].filter((placeholder) => !text.includes(placeholder));
    if (missing.length > 0)
      data.push(`The template for ${slot === 'choice' ? 'multiple choice' : 'code'} must contain ${missing.join(' and ')}.`);
  }
  if (draft.protocol.fewShot)
    for (const { name } of draft.benchmarks.filter((benchmark) => benchmark.examples === undefined && !isText(benchmark)))
      data.push(`Name the file that solved examples for ${name} are drawn from, under its columns, or ask without examples.`);
  return {
    model: draft.models.length === 0 ? ['Choose at least one model.'] : [],
    methods: [],
    training: trainingProblems(draft),
    data,
    review: draft.name.trim() === '' ? ['Give the study a name.'] : [],
  };
}

export interface DraftProblems {
  model: string[];
  methods: string[];
  training: string[];
  data: string[];
  review: string[];
}

function trainingProblems(draft: StudyDraft): string[] {
  const { cells, chains, custom } = draft;
  if (cells.length + chains.length + custom.length === 0)
    return ['Choose a method and bit-width in the step before, or a variant to train.'];
  const names = [...cells, ...chains, ...custom].map(({ name }) => name.trim());
  const twice = names.find((name, index) => names.indexOf(name) < index);
  const broken = chains.flatMap((chain) =>
    chainIssues(chain, maker(draft)).map(
      ({ stage, path, message }) => `${chain.name}: ${fieldLabel(path, chain.training[stage])}${message}.`,
    ),
  );
  const unnamed = chains.some(({ name }) => name.trim() === '') ? ['Give every trained variant a name.'] : [];
  const open = chains.filter(({ training }) => training.some(({ data }) => isChoice(data.path)));
  return [
    ...unnamed,
    ...(twice === undefined ? [] : [`Two variants are called “${twice}”.`]),
    ...chains.filter(({ training }) => training.length === 0).map(({ name }) => `${name}: add a train stage, or remove the variant.`),
    ...broken,
    ...open.map(
      ({ name, training }) => `${name}: choose the data (${choiceName(training.find(({ data }) => isChoice(data.path))!.data.path)}).`,
    ),
    ...custom
      .filter((variant) => openInVariant(variant).length > 0)
      .map((variant) => `${variant.name}: choose ${openInVariant(variant)[0]}.`),
  ];
}

/** Names of everything a preset leaves to choose, models aside. */
export function openInDraft(draft: StudyDraft): string[] {
  return openChoices(specFromDraft({ ...draft, models: [] }));
}

/** The draft with a file in all places that leave it to choose. */
export function withChoice(draft: StudyDraft, name: string, path: string): StudyDraft {
  const at = (text: string) => (isChoice(text) && choiceName(text) === name ? path : text);
  const stagesAt = <S extends Stage>(stages: readonly S[]) => stages.map((stage) => mapStagePaths(stage, at) as S);
  return {
    ...draft,
    chains: draft.chains.map((chain) => ({ ...chain, training: stagesAt(chain.training) })),
    custom: draft.custom.map((variant) => ({ ...variant, stages: stagesAt(variant.stages) })),
    calibration: draft.calibration && { ...draft.calibration, path: at(draft.calibration.path) },
    benchmarks: draft.benchmarks.map((benchmark) => ({ ...benchmark, path: at(benchmark.path) })),
  };
}

function openInVariant({ stages }: StudyVariant): string[] {
  const names: string[] = [];
  for (const stage of stages)
    mapStagePaths(stage, (path) => {
      if (isChoice(path)) names.push(choiceName(path));
      return path;
    });
  return names;
}

/** A new cell under a name that no other variant of the draft has. */
export function newCell(
  draft: StudyDraft,
  method: QuantizationMethod,
  scheme: QuantizationScheme,
  overrides: readonly SchemeOverride[] = [],
): DraftCell {
  const cell = { method, scheme, overrides: overrides.map((override) => ({ ...override })) };
  return { name: freeTitle(draft, cellTitle(cell)), ...cell, exports: [] };
}

/** The stages a trained variant stands for. */
export function chainStagesOf(chain: DraftChain, draft: StudyDraft): StudyVariant['stages'] {
  return chainStages(chain, maker(draft));
}

/** Makes quantize stages with the draft's settings. */
export function maker(draft: StudyDraft): StageMaker {
  return (start) => stageOfCell(start, draft);
}

function cellStages(cell: DraftCell, draft: StudyDraft): StudyVariant['stages'] {
  return [stageOfCell(cell, draft), ...cell.exports.map((format) => ({ type: 'export' as const, format }))];
}

/** The quantize stage that a cell stands for, with the settings its method shares. */
export function stageOfCell(cell: DraftStart, draft: StudyDraft): QuantizeStage {
  const { method, scheme, overrides } = cell;
  const { options, ...shared } = draft.settings[method];
  return {
    type: 'quantize',
    method,
    scheme: { ...scheme },
    ...(overrides.length > 0 ? { overrides: overrides.map(plainOverride) } : {}),
    ...Object.fromEntries(Object.entries(shared).filter(([, value]) => value !== undefined)),
    ...(needsCalibration(method) ? { calibration: plainCalibration(draft.calibration ?? defaultCalibration) } : {}),
    options: { ...options },
  } as QuantizeStage;
}

/** Copies without the proxies that a store puts around its parts. */
function plainOverride({ pattern, scheme }: SchemeOverride): SchemeOverride {
  return { pattern, scheme: scheme && { ...scheme } };
}
function plainCalibration(calibration: CalibrationSettings): CalibrationSettings {
  const { solutions, ...rest } = calibration;
  return solutions ? { ...rest, solutions: { ...solutions } } : { ...rest };
}

function asCell(variant: StudyVariant): DraftCell | null {
  const [first, ...rest] = variant.stages;
  if (first?.type !== 'quantize') return null;
  const exports = rest.filter((stage) => stage.type === 'export').map((stage) => stage.format);
  if (exports.length < rest.length) return null;
  return {
    name: variant.name,
    method: first.method,
    scheme: { ...first.scheme },
    overrides: (first.overrides ?? []).map(plainOverride),
    exports,
  };
}

/** Each method's settings are those of its first stage; variants that differ stay apart. */
function sharedSettings(stages: readonly QuantizeStage[]): SettingsByMethod {
  const settings = defaultSettings();
  for (const stage of stages.toReversed()) {
    const { options, activationClip, kvClip, spillActivations } = stage;
    Object.assign(settings, { [stage.method]: { options: { ...options }, activationClip, kvClip, spillActivations } });
  }
  return settings;
}
