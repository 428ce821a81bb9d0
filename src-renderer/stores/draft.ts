/** The study being put together in the wizard. Survives leaving the wizard, until it is started or discarded. */
import { defineStore } from 'pinia';
import { computed, ref } from 'vue';
import type { ExportFormat, QuantizationMethod, SchemeOverride } from '#contract/recipe.ts';
import type { Preset } from '#contract/records.ts';
import type { QuantizationScheme } from '#contract/scheme.ts';
import type { TrainStage } from '#contract/training.ts';
import { cellKey, cellTitle, freeTitle, isOwnTitle } from './cell-names.ts';
import { type DraftChain, type DraftStart, ownTitle, startOf } from './draft-chains.ts';
import {
  type DraftCell,
  draftFromSpec,
  draftProblems,
  emptyDraft,
  maker,
  newCell,
  openInDraft,
  type StudyDraft,
  specFromDraft,
  withChoice,
} from './draft-spec.ts';

export const wizardSteps = ['model', 'methods', 'training', 'data', 'review'] as const;
export type WizardStep = (typeof wizardSteps)[number];

export const useDraftStore = defineStore('draft', () => {
  const draft = ref<StudyDraft>(emptyDraft());
  const presetId = ref<string | null>(null);
  const started = ref(false);
  /** True when the plan found an error, which starting would only repeat. */
  const planBlocks = ref(false);
  /** A trial goes on, or found that the study does not fit. */
  const trialBlocks = ref(false);
  const problems = computed(() => draftProblems(draft.value));
  const spec = computed(() => specFromDraft(draft.value));
  const selected = computed(() => new Set(draft.value.cells.map(cellKey)));

  /** Takes a preset's whole study. With `keepModels`, only its methods, data and protocol. */
  function usePreset(preset: Preset, keepModels = false): void {
    const models = draft.value.models;
    draft.value = draftFromSpec(preset.spec);
    if (keepModels && models.length > 0) draft.value.models = models;
    presetId.value = preset.id;
    started.value = true;
  }
  function reset(): void {
    draft.value = emptyDraft();
    presetId.value = null;
    started.value = false;
  }
  /** Adds the plain variant of a method and scheme, or removes it; mixed ones beside it stay. */
  function toggle(method: QuantizationMethod, scheme: QuantizationScheme): void {
    const key = cellKey({ method, scheme, overrides: [] });
    const known = draft.value.cells.find((cell) => cellKey(cell) === key);
    if (known) remove(known);
    else draft.value.cells.push(newCell(draft.value, method, scheme));
  }
  function remove(cell: DraftCell): void {
    draft.value.cells = draft.value.cells.filter((other) => other.name !== cell.name);
  }
  /** Gives variants these rules; or adds variants with them, leaving the given ones alone. */
  function mix(cells: readonly DraftCell[], overrides: readonly SchemeOverride[], options: { beside: boolean }): void {
    for (const cell of cells) {
      const mixed = newCell(draft.value, cell.method, cell.scheme, overrides);
      if (options.beside) {
        mixed.exports = [...cell.exports];
        if (!selected.value.has(cellKey(mixed))) draft.value.cells.push(mixed);
        continue;
      }
      const follows = isOwnTitle(cell.name, cell);
      cell.overrides = mixed.overrides;
      if (follows) cell.name = freeTitle({ ...draft.value, cells: draft.value.cells.filter((other) => other !== cell) }, cellTitle(cell));
    }
  }
  /** Adds a variant that trains from `quantization` on; the new one, as the store holds it. */
  function addChain(quantization: DraftStart | null, training: readonly TrainStage[]): DraftChain {
    const chain: DraftChain = {
      name: '',
      quantization: quantization && startOf(quantization),
      placement: 'before',
      training: [],
      exports: [],
    };
    chain.training = training.map((stage) => JSON.parse(JSON.stringify(stage)) as TrainStage);
    chain.name = freeTitle(draft.value, ownTitle(chain, maker(draft.value)));
    draft.value.chains.push(chain);
    return draft.value.chains.at(-1)!;
  }
  /** Changes a chain; a name that only says what it is follows. */
  function changeChain(chain: DraftChain, change: (chain: DraftChain) => void): void {
    const make = maker(draft.value);
    const follows = chain.name.replace(/ \(\d+\)$/, '') === ownTitle(chain, make);
    change(chain);
    const others = { ...draft.value, chains: draft.value.chains.filter((other) => other !== chain) };
    if (follows) chain.name = freeTitle(others, ownTitle(chain, make));
  }
  function removeChain(chain: DraftChain): void {
    draft.value.chains = draft.value.chains.filter((other) => other !== chain);
  }
  /** The same training after (or before) other quantizations; those that have it already are left out. */
  function copyChain(chain: DraftChain, starts: readonly (DraftStart | null)[]): void {
    for (const start of starts) {
      const copy = addChain(start, chain.training);
      changeChain(copy, (made) => {
        made.placement = chain.placement;
      });
    }
  }
  const openNames = computed(() => openInDraft(draft.value));
  function choose(name: string, path: string): void {
    draft.value = withChoice(draft.value, name, path);
  }
  function setExports(cell: DraftCell, formats: readonly ExportFormat[]): void {
    cell.exports = [...formats];
  }

  const chains = { addChain, changeChain, removeChain, copyChain, openNames, choose };
  return {
    draft,
    presetId,
    started,
    planBlocks,
    trialBlocks,
    problems,
    spec,
    selected,
    usePreset,
    reset,
    toggle,
    remove,
    mix,
    setExports,
    ...chains,
  };
});
