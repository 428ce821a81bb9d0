/** The bench result as a Markdown table for the terminal and `docs/performance.md`. */

import type { Measurement } from './cases.ts';
import type { BenchResult, BenchRow } from './index.ts';

export function benchMarkdown(result: BenchResult): string {
  const header = [
    '| case | Roundoff | peer | peer figure | Roundoff is | peak memory (ours / peer) |',
    '| --- | ---: | --- | ---: | ---: | ---: |',
  ];
  const machine = Object.entries(result.environment).map(([key, value]) => `${key} ${value}`);
  return [
    ...header,
    ...result.rows.flatMap(rowLines),
    '',
    `Measured on: ${machine.join('; ')}.`,
    ...result.notes.map((note) => `\n${note}`),
  ].join('\n');
}

function rowLines(row: BenchRow): string[] {
  if (row.peers.length === 0) return [`| ${row.title} | ${figure(row.ours)} | – | – | – | ${mebibytes(row.ours)} |`];
  return row.peers.map(
    (peer) =>
      `| ${row.title} | ${figure(row.ours)} | ${peer.name} | ${figure(peer.measurement)} | **${peer.ratio.toFixed(2)}×** | ${mebibytes(row.ours)} / ${mebibytes(peer.measurement)} |`,
  );
}

function figure(measurement: Measurement): string {
  const digits = measurement.value >= 100 ? 0 : 1;
  return `${measurement.value.toLocaleString('en-US', { maximumFractionDigits: digits })} ${measurement.unit}`;
}

function mebibytes(measurement: Measurement): string {
  return `${Math.round(measurement.peakMemoryBytes / 2 ** 20)} MiB`;
}
