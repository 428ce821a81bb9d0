/** The chart colours of the current theme, read from the style sheet's tokens. */
import { computed } from 'vue';
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
      methods: { none: token('--series-baseline'), rtn: token('--series-rtn'), gptq: token('--series-gptq') },
      palette: ['--series-gptq', '--series-rtn', '--series-3', '--series-4', '--series-5', '--series-6'].map(token),
      font: token('--font-text'),
    };
  });
}
