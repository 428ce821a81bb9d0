/** The loadability matrix for `--help`: which formats express which schemes, and where the formats load. */
import { type Loadability, loadability } from '#contract/loadability.ts';
import { exportFormats, type QuantizationMethod, variantTitle } from '#contract/recipe.ts';
import { parseScheme } from '#contract/scheme.ts';
import { textTable } from './terminal.ts';

/** One row per kind of scheme. */
const rows: readonly (readonly [QuantizationMethod, string])[] = [
  ['rtn', 'W8:sym'],
  ['gptq', 'W4G128:sym'],
  ['awq', 'W4G128'],
  ['gptq', 'W3G128'],
  ['gptq', 'W2G32'],
  ['rtn', 'W5G64'],
  ['nf4', 'NF4:double'],
  ['int8', 'INT8'],
  ['quarot', 'W4A4KV4'],
  ['flatquant', 'W4A4KV4'],
];

export function loadabilityTable(): string {
  const matrix = rows.map(([method, text]) => {
    const scheme = parseScheme(text);
    return { title: variantTitle(method, scheme), cells: loadability(method, scheme) };
  });
  const body = matrix.map(({ title, cells }) => [title, ...cells.map(({ expressible }) => (expressible ? 'yes' : '–'))]);
  const runtimes = exportFormats.map(
    (format) =>
      `  ${format}: ${runtimesOf(
        format,
        matrix.flatMap(({ cells }) => cells),
      ).join(', ')}`,
  );
  return [
    'Which --format can express what:',
    textTable(['', ...exportFormats], body, new Set()),
    '',
    'Runtimes that load the files (which of them take a given scheme is said after exporting):',
    ...runtimes,
    'Schemes that round activations, keys or values compute in Roundoff only: there they are fake-quantized.',
  ].join('\n');
}

function runtimesOf(format: string, cells: readonly Loadability[]): string[] {
  return [...new Set(cells.filter((cell) => cell.format === format).flatMap((cell) => cell.runtimes))];
}
