/** Light, dark, or as the system has it. One state for the whole window. */
import { computed, ref, watchEffect } from 'vue';
import { useStored } from './use-stored.ts';

export const themeChoices = ['system', 'light', 'dark'] as const;
export type ThemeChoice = (typeof themeChoices)[number];

const isChoice = (value: unknown): value is ThemeChoice => themeChoices.some((choice) => choice === value);
const systemDark = matchMedia('(prefers-color-scheme: dark)');
const systemIsDark = ref(systemDark.matches);
systemDark.addEventListener('change', (event) => {
  systemIsDark.value = event.matches;
});

const choice = useStored<ThemeChoice>('theme', 'system', isChoice);
const isDark = computed(() => (choice.value === 'system' ? systemIsDark.value : choice.value === 'dark'));
watchEffect(() => document.documentElement.classList.toggle('dark', isDark.value), { flush: 'sync' });

export function useTheme() {
  return { choice, isDark };
}
