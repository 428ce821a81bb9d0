/** Findings as a table for the terminal and as Markdown. */
import type { Interval } from '#contract/comparison.ts';
import type { ClaimResult, FurtherResult } from './claim.ts';

const scales = {
  points: { factor: 100, digits: 1 },
  tokens: { factor: 1, digits: 1 },
  nats: { factor: 1, digits: 4 },
  reward: { factor: 1, digits: 3 },
};

/** Lines of text, one claim each, how many hold, and what was measured beside them. */
export function findingsText(results: readonly ClaimResult[], further: readonly FurtherResult[]): string {
  const lines = results.map(
    ({ id, verdict, measured, unit, statement }) => `${id.padEnd(14)} ${verdict.padEnd(19)} ${written(measured, unit)}  ${statement}`,
  );
  const beside = further.map(({ about, measured, unit, quantity }) => `${about.padEnd(14)} ${written(measured, unit)}  ${quantity}`);
  return [...lines, '', summary(results), '', 'Further measurements:', ...beside].join('\n');
}

export interface FindingsHeader {
  title: string;
  command: string;
  seeds: readonly number[];
  evaluationSeeds: readonly number[];
  minutes: number;
  quick: boolean;
}

export function findingsMarkdown(
  results: readonly ClaimResult[],
  further: readonly FurtherResult[],
  { title, command, seeds, evaluationSeeds, minutes, quick }: FindingsHeader,
): string {
  const rows = results.map(
    ({ id, statement, paper, quantity, measured, unit, verdict }) =>
      `| ${id} | ${statement} | ${paper} | ${quantity} | ${written(measured, unit)} | **${verdict}** |`,
  );
  return [
    `## ${title}`,
    '',
    `\`${command}\`, training seeds ${seeds.join(', ')}, evaluation seeds ${evaluationSeeds.join(', ')}, ${Math.round(minutes)} minutes of computing.`,
    ...(quick ? ['', '**A quick run: it shows that everything works, not whether a claim holds.**'] : []),
    '',
    '| | claim | the paper | measured quantity | value [95 %] | |',
    '| --- | --- | --- | --- | ---: | --- |',
    ...rows,
    '',
    summary(results),
    '',
    'Further measurements, from the same runs:',
    '',
    '| about | measured quantity | value [95 %] |',
    '| --- | --- | ---: |',
    ...further.map(({ about, quantity, measured, unit }) => `| ${about} | ${quantity} | ${written(measured, unit)} |`),
    '',
  ].join('\n');
}

function summary(results: readonly ClaimResult[]): string {
  const count = (verdict: ClaimResult['verdict']) => results.filter((result) => result.verdict === verdict).length;
  return `${count('holds')} of ${results.length} hold, ${count('does not hold')} do not, ${count('not distinguishable')} are not distinguishable.`;
}

function written({ value, low, high }: Interval, unit: ClaimResult['unit']): string {
  const { factor, digits } = scales[unit];
  // Adding 0 takes the sign from a zero.
  const number = (x: number) => (Number((factor * x).toFixed(digits)) + 0).toFixed(digits);
  return `${number(value)} [${number(low)}, ${number(high)}] ${unit}`;
}
