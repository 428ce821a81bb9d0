/** The result of `bench peers` as one Markdown table, and what it was measured on. */
import { peerCase } from './cases.ts';
import type { PeerRow, PeersResult } from './index.ts';
import type { PeerFigure } from './messages.ts';
import { peakFlops, rooflineOf } from './roofline.ts';

export function peersMarkdown(result: PeersResult): string {
  return [...tableLines(result), '', ...environmentLines(result)].join('\n');
}

export function tableLines(result: PeersResult): string[] {
  return [
    '| case | Roundoff | peer | peer figure | Roundoff is | needs | share of the peak | mark | most of the time |',
    '| --- | ---: | --- | ---: | ---: | ---: | ---: | --- | --- |',
    ...result.rows.flatMap((row) => rowLines(row, result)),
  ];
}

export function environmentLines({ device, environment, peaks, missing, notes }: PeersResult): string[] {
  const machine = Object.entries(environment).map(([name, value]) => `${name} ${value}`);
  const features = device.features.length > 0 ? ` (${device.features.join(', ')})` : '';
  return [
    `Device: ${device.device}${features}; ${machine.join('; ')}.`,
    ...(peaks
      ? [
          '',
          `Measured at best: reads ${gigabytes(peaks.readBytesPerSecond)}/s, copies ${gigabytes(peaks.copyBytesPerSecond)}/s${peaks.flopsPerSecond ? `, ${operations(peaks.flopsPerSecond)}/s in float32 registers` : ''}.`,
        ]
      : []),
    ...missing.flatMap(({ name, reason }) => ['', `Not measured: ${name}, ${reason}.`]),
    ...notes.flatMap((note) => ['', note]),
  ];
}

function rowLines(row: PeerRow, result: PeersResult): string[] {
  const mark = row.mark ?? '–';
  const ours = row.ours ? figureText(row.ours) : 'no figure';
  const roofline = row.ours && rooflineOf(row.id, row.ours.value, result.sizes, result.peaks, peakFlops(result.rows, result.peaks));
  const needs = roofline ? `${gigabytes(roofline.bytes)}, ${operations(roofline.flops)}` : '–';
  const share = roofline ? `${(100 * roofline.share).toFixed(roofline.share < 0.1 ? 1 : 0)} % of ${roofline.bound}` : '–';
  const line = (peer: string, figure: string, ratio: string) =>
    `| ${[row.title, ours, peer, figure, ratio, needs, share, mark, kernelShares(row.ours)].join(' | ')} |`;
  const lines = row.peers.map(({ name, figure }) =>
    line(name, figureText(figure), row.ours ? `**${ratioOf(row, figure).toFixed(2)}×**` : '–'),
  );
  const failed = row.failures.map(({ name, reason }) =>
    line(name, `failed: ${reason.replaceAll(/\s+/g, ' ').replaceAll('|', '/').slice(0, 160)}`, '–'),
  );
  return lines.length + failed.length > 0 ? [...lines, ...failed] : [line('–', '–', '–')];
}

function ratioOf({ id, ours }: PeerRow, peer: PeerFigure): number {
  return peerCase(id).largerIsBetter ? ours!.value / peer.value : peer.value / ours!.value;
}

/** The three kernels that took most of the GPU's time. */
function kernelShares(figure: PeerFigure | null): string {
  const kernels = figure?.kernels ?? [];
  const total = kernels.reduce((sum, { milliseconds }) => sum + milliseconds, 0);
  if (total === 0) return '–';
  return kernels
    .slice(0, 3)
    .map(({ name, milliseconds }) => `${name} ${Math.round((100 * milliseconds) / total)} %`)
    .join(', ');
}

function figureText({ value, unit }: PeerFigure): string {
  return `${value.toLocaleString('en-US', { maximumSignificantDigits: 3 })} ${unit}`;
}

function gigabytes(bytes: number): string {
  return bytes >= 1e9 ? `${(bytes / 1e9).toFixed(bytes >= 1e11 ? 0 : 1)} GB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

function operations(flops: number): string {
  if (flops >= 1e12) return `${(flops / 1e12).toFixed(1)} TFLOP`;
  return flops >= 1e8 ? `${(flops / 1e9).toFixed(1)} GFLOP` : `${(flops / 1e6).toFixed(1)} MFLOP`;
}
