/**
 * The wizard's draft and the study it stands for. Variants that are one quantize stage with the shared settings are cells of the
 * methods grid; anything else in a preset (other settings, several stages) is kept as it is, beside the grid. Pure.
 */
import { type BenchmarkReference, canonicalJson, type EvaluationProtocol } from '#contract/protocol.ts';
import type { CalibrationSettings, ExportStage, GptqOptions, QuantizationMethod, StudySpec, StudyVariant } from '#contract/recipe.ts';
import { formatScheme, type QuantizationScheme } from '#contract/scheme.ts';

export interface DraftCell {
  name: string;
  method: QuantizationMethod;
  scheme: QuantizationScheme;
  exports: ExportStage[];
}

export interface StudyDraft {
  name: string;
  description: string;
  models: string[];
  cells: DraftCell[];
  custom: StudyVariant[];
  gptq: GptqOptions;
  rtnMseSearch: boolean;
  calibration: CalibrationSettings | null;
  seeds: number[];
  benchmarks: BenchmarkReference[];
  protocol: EvaluationProtocol;
  backend: StudySpec['backend'];
}

export const defaultGptq: GptqOptions = {
  blockSize: 128,
  dampPercent: 0.01,
  actOrder: false,
  staticGroups: false,
  trueSequential: true,
  mseSearch: true,
};

export const defaultProtocol: EvaluationProtocol = {
  temperature: 0.6,
  topP: 0.95,
  topK: 0,
  maxNewTokens: 1024,
  seeds: [42, 43, 44],
  systemPrompt: null,
  promptTemplate: '{question}',
  verifier: 'maths-1',
  problemsPerBenchmark: null,
};

export function emptyDraft(): StudyDraft {
  return {
    name: 'New study',
    description: '',
    models: [],
    cells: [],
    custom: [],
    gptq: { ...defaultGptq },
    rtnMseSearch: false,
    calibration: null,
    seeds: [42],
    benchmarks: [],
    protocol: { ...defaultProtocol },
    backend: 'auto',
  };
}

export function draftFromSpec(spec: StudySpec): StudyDraft {
  const quantize = spec.variants.flatMap((variant) => variant.stages).filter((stage) => stage.type === 'quantize');
  const firstGptq = quantize.find((stage) => stage.method === 'gptq');
  const firstRtn = quantize.find((stage) => stage.method === 'rtn');
  const draft: StudyDraft = {
    name: spec.name,
    description: spec.description,
    models: [...spec.models],
    cells: [],
    custom: [],
    gptq: { ...(firstGptq?.options ?? defaultGptq) },
    rtnMseSearch: firstRtn?.options.mseSearch ?? false,
    calibration: firstGptq ? { ...firstGptq.calibration } : null,
    seeds: [...spec.seeds],
    benchmarks: spec.benchmarks.map((benchmark) => ({ ...benchmark })),
    protocol: { ...spec.protocol, seeds: [...spec.protocol.seeds] },
    backend: spec.backend,
  };
  for (const variant of spec.variants) {
    const cell = asCell(variant);
    const same = cell !== null && canonicalJson(cellStages(cell, draft)) === canonicalJson(variant.stages);
    if (cell && same) draft.cells.push(cell);
    else draft.custom.push(variant);
  }
  return draft;
}

/** The study a draft stands for. Cells need a calibration set as soon as one is GPTQ; `draftProblems` says so before. */
export function specFromDraft(draft: StudyDraft): StudySpec {
  return {
    name: draft.name.trim(),
    description: draft.description.trim(),
    models: [...draft.models],
    variants: [...draft.cells.map((cell) => ({ name: cell.name, stages: cellStages(cell, draft) })), ...draft.custom],
    seeds: [...draft.seeds],
    benchmarks: draft.benchmarks.map(({ name, path }) => ({ name, path })),
    protocol: { ...draft.protocol, seeds: [...draft.protocol.seeds] },
    backend: draft.backend,
  };
}

/** What each wizard step still lacks, as sentences. Empty when the step is complete. */
export function draftProblems(draft: StudyDraft): { model: string[]; methods: string[]; data: string[]; review: string[] } {
  const usesGptq = draft.cells.some((cell) => cell.method === 'gptq');
  const data: string[] = [];
  if (usesGptq && draft.calibration === null) data.push('Choose a calibration set: GPTQ needs one.');
  if (draft.benchmarks.length === 0) data.push('Choose at least one benchmark.');
  if (new Set(draft.benchmarks.map(({ name }) => name)).size < draft.benchmarks.length) data.push('Two benchmarks have the same name.');
  if (draft.protocol.seeds.length === 0) data.push('Enter at least one evaluation seed.');
  if (!draft.protocol.promptTemplate.includes('{question}')) data.push('The prompt template must contain {question}.');
  return {
    model: draft.models.length === 0 ? ['Choose at least one model.'] : [],
    methods: draft.cells.length + draft.custom.length === 0 ? ['Choose at least one method and bit-width.'] : [],
    data,
    review: draft.name.trim() === '' ? ['Give the study a name.'] : [],
  };
}

export const cellKey = (method: QuantizationMethod, scheme: QuantizationScheme): string => `${method} ${formatScheme(scheme)}`;

/** A name for a new cell that no other variant of the draft has. */
export function newCell(draft: StudyDraft, method: QuantizationMethod, scheme: QuantizationScheme): DraftCell {
  const taken = new Set([...draft.cells, ...draft.custom].map((variant) => variant.name));
  const stem = `${method.toUpperCase()} ${formatScheme(scheme)}`;
  let name = stem;
  for (let number = 2; taken.has(name); number += 1) name = `${stem} (${number})`;
  return { name, method, scheme, exports: [] };
}

function cellStages(cell: DraftCell, draft: StudyDraft): StudyVariant['stages'] {
  const { scheme } = cell;
  if (cell.method === 'rtn') {
    return [{ type: 'quantize', method: 'rtn', scheme, options: { mseSearch: draft.rtnMseSearch } }, ...cell.exports];
  }
  const calibration = draft.calibration ?? { path: '', samples: 128, sequenceLength: 256, seed: 42 };
  return [{ type: 'quantize', method: 'gptq', scheme, calibration: { ...calibration }, options: { ...draft.gptq } }, ...cell.exports];
}

function asCell(variant: StudyVariant): DraftCell | null {
  const [first, ...rest] = variant.stages;
  if (first?.type !== 'quantize') return null;
  const exports = rest.filter((stage) => stage.type === 'export');
  if (exports.length < rest.length) return null;
  return { name: variant.name, method: first.method, scheme: first.scheme, exports };
}
