/** Perplexities as a table: a line per run, for every text its value and how it changed. */
import type { ComparisonRow, PerplexityResult, StudyComparison } from '#contract/comparison.ts';

export const perplexityNote =
  'Perplexity is exp of the mean negative log-probability per token; lower is better. Change is against the baseline on the same windows, with its 95 % interval over windows where there are several.';

export function perplexityHeader({ texts }: Pick<StudyComparison, 'texts'>): string[] {
  return texts.flatMap(({ name }) => [name, 'change']);
}

/** Only runs that have any. */
export function perplexityLines({ rows, texts }: Pick<StudyComparison, 'rows' | 'texts'>): { run: ComparisonRow; cells: string[] }[] {
  const measured = texts.length === 0 ? [] : rows.filter((row) => row.perplexities.length > 0);
  return measured.map((run) => ({
    run,
    cells: texts.flatMap(({ name }) => {
      const result = run.perplexities.find(({ text }) => text === name);
      return result ? [perplexityText(result), changeText(result)] : ['–', '–'];
    }),
  }));
}

function perplexityText({ perplexity, complete, windows }: PerplexityResult): string {
  const value = perplexity < 1000 ? perplexity.toFixed(3) : perplexity.toExponential(3);
  return complete ? value : `${value} (first ${windows} windows)`;
}

/** `+2.1 % [+1.8, +2.4], worse`. */
function changeText({ change }: PerplexityResult): string {
  if (!change) return '–';
  const relative = (ratio: number) => `${ratio >= 1 ? '+' : '−'}${(100 * Math.abs(ratio - 1)).toFixed(2)}`;
  const { ratio, low, high, verdict } = change;
  return low === null || high === null ? `${relative(ratio)} %` : `${relative(ratio)} % [${relative(low)}, ${relative(high)}], ${verdict}`;
}
