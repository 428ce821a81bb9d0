/** The study being put together in the wizard. Survives leaving the wizard, until it is started or discarded. */
import { defineStore } from 'pinia';
import { computed, ref } from 'vue';
import type { QuantizationMethod } from '#contract/recipe.ts';
import type { Preset } from '#contract/records.ts';
import type { QuantizationScheme } from '#contract/scheme.ts';
import { cellKey, draftFromSpec, draftProblems, emptyDraft, newCell, type StudyDraft, specFromDraft } from './draft-spec.ts';

export const wizardSteps = ['model', 'methods', 'data', 'review'] as const;
export type WizardStep = (typeof wizardSteps)[number];

export const useDraftStore = defineStore('draft', () => {
  const draft = ref<StudyDraft>(emptyDraft());
  const presetId = ref<string | null>(null);
  const started = ref(false);
  /** True when the plan found an error, which starting would only repeat. */
  const planBlocks = ref(false);
  const problems = computed(() => draftProblems(draft.value));
  const spec = computed(() => specFromDraft(draft.value));
  const selected = computed(() => new Set(draft.value.cells.map((cell) => cellKey(cell.method, cell.scheme))));

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
  function toggle(method: QuantizationMethod, scheme: QuantizationScheme): void {
    const key = cellKey(method, scheme);
    const { cells } = draft.value;
    const index = cells.findIndex((cell) => cellKey(cell.method, cell.scheme) === key);
    if (index >= 0) cells.splice(index, 1);
    else cells.push(newCell(draft.value, method, scheme));
  }

  return { draft, presetId, started, planBlocks, problems, spec, selected, usePreset, reset, toggle };
});
