/** The chart colours of the current theme, read from the style sheet's tokens. */
import { computed } from 'vue';
import { quantizationMethods } from '#contract/recipe.ts';
import { verdictNames } from '#contract/sample-query.ts';
import { resultTones } from '#contract/sweep.ts';
import type { ChartTheme } from '../charts/chart-theme.ts';
import { useTheme } from './use-theme.ts';

export function useChartTheme() {
  const { isDark } = useTheme();
  return computed<ChartTheme>(() => {
    const style = getComputedStyle(document.documentElement);
    const token = (name: string) => style.getPropertyValue(name).trim();
    return {
      dark: isDark.value,
      text: token('--ink'),
      textSoft: token('--ink-3'),
      line: token('--line'),
      lineStrong: token('--line-strong'),
      surface: token('--surface'),
      accent: token('--accent'),
      methods: {
        none: token('--series-baseline'),
        ...Object.fromEntries(quantizationMethods.map((method) => [method, token(`--series-${method}`)])),
      },
      palette: ['gptq', 'rtn', 'awq', 'flatquant', 'nf4', 'quarot', 'int8'].map((method) => token(`--series-${method}`)),
      tones: Object.fromEntries(resultTones.map((tone) => [tone, token(`--tone-${tone}`)])) as ChartTheme['tones'],
      verdicts: Object.fromEntries(verdictNames.map((name) => [name, token(`--verdict-${name}`)])) as ChartTheme['verdicts'],
      font: token('--font-text'),
    };
  });
}
