/** What the stages of a study take of the GPU's memory on the webgpu backend, and what stands against them. */
import { mapStagePaths } from '#contract/choices.ts';
import type { BackendStatus, InspectionProblem, StudyPlan } from '#contract/records.ts';
import { type AskedSize, askedSize } from '../engine/benchmarks/asked-size.ts';
import type { ModelConfig } from '../engine/model/config.ts';
import { formsAfter, readStoredForms, type StoredForms } from '../engine/model/stored-forms.ts';
import { loadTokenizer } from '../engine/model/tokenizer.ts';
import { estimateGpuQuantizationMemory } from '../engine/quantizers/gpu-memory-estimate.ts';
import { estimateGeneration, type GpuRoom } from '../engine/rollouts/generation-memory.ts';
import { tooLargeHint } from '../engine/rollouts/gpu/engine-size.ts';
import { estimateGpuTrainStage, teacherForms } from '../engine/training/gpu-stage-memory.ts';
import { gigabytes } from '../engine/usable-memory.ts';
import type { PlannedRun } from './expand-study.ts';
import { resolvePath, resolveRecipe } from './resources.ts';
import { collect, type StudyInputs } from './study-inputs.ts';
import { lengthKey } from './train-inputs.ts';

/** Of one stage of a run. */
export interface GpuNeed {
  run: string;
  bytes: number;
  /** Why it does not fit, with the remedy. */
  refusal: Pick<InspectionProblem, 'message' | 'hint'> | null;
  /** What the reader of the plan should know. */
  note: Pick<InspectionProblem, 'message' | 'hint'> | null;
}

type Stage<T extends string> = Extract<PlannedRun['recipe']['stages'][number], { type: T }>;

const anyRoom: GpuRoom = { budgetBytes: null, bindingBytes: Number.POSITIVE_INFINITY };
const fewerHint = 'Lower the number of new tokens, or quantize keys and values, for more of them at a time.';
const quantizingHint =
  'Use shorter or fewer calibration sequences, another method, or the wasm backend. ROUNDOFF_GPU_MEMORY sets another limit, in GB.';
const trainingHint =
  'Use activation checkpointing, smaller batches or shorter sequences, train an adapter on a quantized model, or choose the wasm backend. ROUNDOFF_GPU_MEMORY sets another limit, in GB.';

/** Per stage of every run whose model could be read; what cannot be read is reported in `inputs`. */
export async function gpuNeeds(
  runs: readonly PlannedRun[],
  inputs: StudyInputs,
  { status, resourcesDir }: { status: BackendStatus | null; resourcesDir: string },
): Promise<GpuNeed[]> {
  const room = status?.gpu ? { budgetBytes: status.gpu.memoryBytes, bindingBytes: status.gpu.bindingBytes } : anyRoom;
  const needs: GpuNeed[] = [];
  for (const [model, own] of Map.groupBy(runs, (run) => run.model)) {
    const config = inputs.configs.get(model);
    if (!config) continue;
    await collect(inputs, model, async () => {
      const dir = resolvePath(model, resourcesDir);
      const start = await readStoredForms(dir, config);
      const asked = hasReadableBenchmarks(inputs) ? await sizeOf(own[0]!, dir, config, resourcesDir) : null;
      for (const run of own) needs.push(...(await runNeeds(run, start, { inputs, asked, room, resourcesDir })));
    });
  }
  return needs;
}

/** Others are reported already. */
function hasReadableBenchmarks({ benchmarks }: StudyInputs): boolean {
  return [...benchmarks.values()].every(({ problems }) => problems.every(({ severity }) => severity !== 'error'));
}

/** What evaluation asks, which is the same for all runs of a model. */
async function sizeOf({ recipe }: PlannedRun, dir: string, config: ModelConfig, resourcesDir: string): Promise<AskedSize | null> {
  const stage = resolveRecipe(recipe, resourcesDir).stages.find((each): each is Stage<'evaluate'> => each.type === 'evaluate');
  return stage ? askedSize(stage, config, await loadTokenizer(dir, { vocabSize: config.vocabSize })) : null;
}

interface Given {
  inputs: Pick<StudyInputs, 'lengths'>;
  asked: AskedSize | null;
  room: GpuRoom;
  resourcesDir: string;
}

async function runNeeds(run: PlannedRun, start: StoredForms, given: Given): Promise<GpuNeed[]> {
  const needs: GpuNeed[] = [];
  for (const [index, stage] of run.recipe.stages.entries()) {
    const forms = formsAfter(run.recipe.stages.slice(0, index), start);
    if (stage.type === 'quantize') needs.push(quantizationNeed(run, stage, forms, given));
    if (stage.type === 'train') needs.push(await trainingNeed(run, stage, forms, given));
    if (stage.type === 'evaluate') needs.push(...evaluationNeed(run, stage, forms, given));
  }
  return needs;
}

function quantizationNeed({ name }: PlannedRun, stage: Stage<'quantize'>, { config }: StoredForms, { room }: Given): GpuNeed {
  const bytes = estimateGpuQuantizationMemory(config, stage, room.budgetBytes);
  return { run: name, bytes, refusal: overBudget('Quantizing', bytes, room, quantizingHint), note: null };
}

/** Why a stage does not fit; null where it does. */
function overBudget(what: string, bytes: number, { budgetBytes }: GpuRoom, hint: string): GpuNeed['refusal'] {
  if (budgetBytes === null || bytes <= budgetBytes) return null;
  const message = `${what} takes about ${gigabytes(bytes)} of the GPU's memory, of which a process may hold ${gigabytes(budgetBytes)}.`;
  return { message, hint };
}

async function trainingNeed(
  { name, model }: PlannedRun,
  stage: Stage<'train'>,
  forms: StoredForms,
  { inputs, room, resourcesDir }: Given,
): Promise<GpuNeed> {
  const longest = inputs.lengths.get(lengthKey(model, stage))?.longest;
  const resolve = (text: string) => resolvePath(text, resourcesDir);
  const teacher = await teacherForms(mapStagePaths(stage, resolve) as typeof stage, resolve(model));
  const training = { forms, stage, ...(longest === undefined ? {} : { longest }), ...(teacher ? { teacher } : {}) };
  const { bytes, fewer } = estimateGpuTrainStage(training, room);
  const refusal = overBudget('Training', bytes, room, trainingHint);
  return { run: name, bytes, refusal, note: fewer === null || refusal ? null : { message: fewer, hint: fewerHint } };
}

function evaluationNeed({ name }: PlannedRun, { protocol }: Stage<'evaluate'>, forms: StoredForms, { asked, room }: Given): GpuNeed[] {
  if (!asked || asked.completions === 0) return [];
  const size = { capacity: asked.longestPrompt + protocol.maxNewTokens, requests: asked.completions };
  const { bytes, fewer, tooLarge } = estimateGeneration(forms, size, room);
  return [
    {
      ...{ run: name, bytes },
      refusal: tooLarge === null ? null : { message: tooLarge, hint: tooLargeHint },
      note: fewer === null ? null : { message: fewer, hint: fewerHint },
    },
  ];
}

/** The most that a stage takes, beside the budget; null where nothing computes on the GPU. */
export function plannedGpuMemory(needs: readonly GpuNeed[], status: BackendStatus | null): StudyPlan['estimate']['gpuMemory'] {
  if (needs.length === 0) return null;
  return { neededBytes: Math.max(...needs.map(({ bytes }) => bytes)), budgetBytes: status?.gpu?.memoryBytes ?? null };
}

/** What does not fit, and what takes longer because of that; once for all runs that it is the same for. */
export function gpuMemoryProblems(needs: readonly GpuNeed[]): InspectionProblem[] {
  const list = (severity: InspectionProblem['severity'], key: 'refusal' | 'note') => {
    const said = Map.groupBy(
      needs.filter((need) => need[key] !== null),
      (need) => need[key]!.message,
    );
    return [...said.values()].map((same) => ({
      severity,
      where: [...new Set(same.map(({ run }) => run))].join(', '),
      message: same[0]![key]!.message,
      hint: same[0]![key]!.hint,
    }));
  };
  return [...list('error', 'refusal'), ...list('warning', 'note')];
}
