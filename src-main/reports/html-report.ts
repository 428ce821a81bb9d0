/**
 * The HTML report: one self-contained file without scripts or requests (its own Content-Security-Policy forbids both), readable on
 * screen in light and dark and printable.
 */
import { measureText } from '#contract/benchmarks.ts';
import type { ComparisonRow, LineageNode, StudyComparison } from '#contract/comparison.ts';
import type { SampleRow } from '#contract/records.ts';
import { benchmarkChart } from './charts/benchmark-chart.ts';
import { sizeChart } from './charts/size-chart.ts';
import { verdictChart } from './charts/verdict-chart.ts';
import { benchmarkFailureLines, failureHeader, failureLines, failureNote } from './failure-table.ts';
import { findings } from './findings.ts';
import { bytes, count, date } from './format.ts';
import { matrixTable } from './html-matrix.ts';
import { samplesSection } from './html-samples.ts';
import { reportStyle } from './html-style.ts';
import { benchmarkTable, definitions, plainTable, resultsTable } from './html-tables.ts';
import { Markup, type MarkupValue, markup } from './markup.ts';
import { methodNotes } from './methods-text.ts';
import { perplexityHeader, perplexityLines, perplexityNote } from './perplexity-table.ts';
import { protocolEntries } from './protocol-entries.ts';
import { studyResolution } from './resolution.ts';
import { resolutionTable } from './resolution-table.ts';

const policy = "default-src 'none'; style-src 'unsafe-inline'";

export function htmlReport(comparison: StudyComparison, samples: readonly SampleRow[]): string {
  const body = markup`<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"/><meta name="viewport" content="width=device-width, initial-scale=1"/>
<meta http-equiv="Content-Security-Policy" content="${policy}"/><meta name="generator" content="Roundoff"/>
<title>${comparison.name} – Roundoff report</title>
<style>${new Markup(reportStyle)}</style></head>
<body><main>
${head(comparison)}
${section('Results', resultsTable(comparison))}
${byScheme(comparison)}
${accuracyBySize(comparison)}
${byBenchmark(comparison)}
${perplexities(comparison)}
${section('How completions ended', figure(verdictChart(comparison.rows), 'Over all benchmarks and seeds. Truncated completions reached the token limit without a boxed answer; unparsed ones ended without any answer.'))}
${failuresSection(comparison.rows)}
${resolutionSection(comparison)}
${samples.length > 0 && section('Sample completions', samplesSection(samples, comparison.rows))}
${section('Protocol', definitions(protocolEntries(comparison.protocol, comparison.protocolHash)))}
${section('Models and data', provenance(comparison))}
${section('Hardware and versions', definitions(environmentEntries(comparison)))}
${section('Lineage', lineage(comparison.lineage))}
${notes(comparison.rows)}
${section('How the numbers are computed', markup`<ul class="plain">${methodNotes(comparison.rows).map((note) => markup`<li>${note}</li>`)}</ul>`)}
<footer>Made with Roundoff. Study ${comparison.studyId}, protocol <code>${comparison.protocolHash.slice(0, 12)}</code>.</footer>
</main></body></html>
`;
  return body.text;
}

function head(comparison: StudyComparison): Markup {
  const { rows, models, benchmarks, protocol } = comparison;
  const finished = rows.filter((row) => row.status === 'finished').length;
  const problems = benchmarks.reduce((sum, benchmark) => sum + benchmark.problems, 0);
  return markup`<p class="kicker">Quantization study, ${date(comparison.createdAt)}</p>
<h1>${comparison.name}</h1>
${comparison.description !== '' && markup`<p>${comparison.description}</p>`}
<ul class="facts"><li><strong>${finished} of ${rows.length}</strong> runs finished</li><li><strong>${models.length}</strong> ${models.length === 1 ? 'model' : 'models'}</li>
<li><strong>${benchmarks.length}</strong> benchmarks, <strong>${count(problems)}</strong> problems</li><li><strong>${protocol.seeds.length}</strong> ${protocol.seeds.length === 1 ? 'completion' : 'completions'} per problem</li></ul>
<ul class="findings">${findings(comparison).map(({ title, text }) => markup`<li><strong>${unbroken(title)}</strong><span>${unbroken(text)}</span></li>`)}</ul>`;
}

function byScheme(comparison: StudyComparison): Markup | null {
  const tables = byModel(comparison, matrixTable);
  return tables && section('Methods and schemes', tables);
}

function accuracyBySize(comparison: StudyComparison): Markup | null {
  const charts = byModel(comparison, (rows, model) => {
    const chart = sizeChart(rows, `Average accuracy against checkpoint size, ${model}`);
    return chart && figure(chart, 'Whiskers are 95 % intervals; the dashed line and band are the unquantized baseline and its interval.');
  });
  return charts && section('Accuracy against size', charts);
}

function byBenchmark(comparison: StudyComparison): Markup | null {
  const charts = byModel(comparison, (rows) => {
    const panels = comparison.benchmarks.flatMap(({ name }) => {
      const chart = benchmarkChart(rows, name);
      return chart ? [markup`<div><h3>${name}, accuracy in %</h3>${chart}</div>`] : [];
    });
    if (panels.length === 0) return null;
    return markup`<figure class="panels">${panels}</figure><h3>In numbers</h3>${benchmarkTable(rows, comparison.benchmarks)}
<figcaption>Accuracy in % with its interval; below it the change in points, and how many completions turned right and wrong against the baseline.</figcaption>`;
  });
  return charts && section('Benchmark by benchmark', charts);
}

/** The same section once per model, headed by its name when there are several. */
function byModel(comparison: StudyComparison, draw: (rows: ComparisonRow[], model: string) => Markup | null): Markup | null {
  const modelIds = [...new Set(comparison.rows.map((row) => row.modelId))];
  const parts = modelIds.flatMap((modelId) => {
    const rows = comparison.rows.filter((row) => row.modelId === modelId);
    const drawn = draw(rows, rows[0]!.model);
    return drawn ? [markup`${modelIds.length > 1 && markup`<h3>${rows[0]!.model}</h3>`}${drawn}`] : [];
  });
  return parts.length > 0 ? markup`${parts}` : null;
}

function perplexities(comparison: StudyComparison): Markup | null {
  const lines = perplexityLines(comparison);
  if (lines.length === 0) return null;
  const header = perplexityHeader(comparison);
  const rows = lines.map(({ run, cells }) => [run.name, ...cells]);
  const table = plainTable(['Run', ...header], rows, { numbers: header.map((_, index) => index + 1) });
  return section('Perplexity', markup`<p>${perplexityNote}</p>${table}`);
}

function failuresSection(rows: readonly ComparisonRow[]): Markup | null {
  const lines = failureLines(rows);
  if (lines.length === 0) return null;
  const numbers = failureHeader.map((_, index) => index + 1);
  const all = plainTable(
    ['Run', ...failureHeader],
    lines.map(({ run, cells }) => [run, ...cells]),
    { numbers },
  );
  const single = plainTable(
    ['Run', 'Benchmark', ...failureHeader],
    benchmarkFailureLines(rows).map(({ run, benchmark, cells }) => [run, benchmark ?? '', ...cells]),
    { numbers: numbers.map((index) => index + 1) },
  );
  return section(
    'How reasoning fails',
    markup`<p>${failureNote}</p>${all}<details><summary>Benchmark by benchmark</summary>${single}</details>`,
  );
}

function resolutionSection(comparison: StudyComparison): Markup | null {
  const { header, lines, note } = resolutionTable(
    studyResolution(comparison),
    comparison.benchmarks.map(({ name }) => name),
  );
  if (lines.length === 0) return null;
  const numbers = header.map((_, index) => index).slice(2);
  return section('What this study could have seen', markup`<p>${note}</p>${plainTable(header, lines, { numbers })}`);
}

function provenance(comparison: StudyComparison): Markup {
  const models = comparison.models.map((model) => [model.name, count(model.parameters), bytes(model.sizeBytes), model.path, model.hash]);
  const benchmarks = [
    ...comparison.benchmarks.map((each) => [each.name, count(each.problems), measureText(each), each.path, each.sha256]),
    ...comparison.texts.map(({ name, path, sha256 }) => [name, '–', measureText({ kind: 'text' }), path, sha256]),
  ];
  return markup`${plainTable(['Model', 'Parameters', 'Size', 'Path', 'Hash'], models, { numbers: [1, 2], hashes: [3, 4] })}
<h3>Benchmarks</h3>${plainTable(['Benchmark', 'Problems', 'Measured', 'Path', 'sha256'], benchmarks, { numbers: [1], hashes: [3, 4] })}`;
}

function environmentEntries(comparison: StudyComparison): [string, string][] {
  const used = [
    ...new Set(comparison.rows.flatMap((row) => (row.backend ? [`${row.backend}${row.device ? `: ${row.device}` : ''}`] : []))),
  ];
  return [...(used.length > 0 ? [['backend', used.join('\n')] as [string, string]] : []), ...Object.entries(comparison.environment)];
}

/** Every run under the run whose checkpoint it started from. */
function lineage(nodes: readonly LineageNode[]): Markup {
  const known = new Set(nodes.map((node) => node.runId));
  const branch = (parent: string | null, seen: ReadonlySet<string>): Markup | null => {
    const children = nodes.filter(
      (node) => (node.parentRunId && known.has(node.parentRunId) ? node.parentRunId : null) === parent && !seen.has(node.runId),
    );
    if (children.length === 0) return null;
    return markup`<ul class="plain lineage">${children.map((node) => markup`<li>${lineageNode(node)}${branch(node.runId, new Set([...seen, node.runId]))}</li>`)}</ul>`;
  };
  return branch(null, new Set()) ?? markup`<p>No runs.</p>`;
}

function lineageNode(node: LineageNode): Markup {
  const artifacts = node.artifacts.map(
    ({ kind, path, sha256, sizeBytes }) =>
      markup`<li>${kind}: <code>${path}</code>, ${bytes(sizeBytes)}, sha256 <code>${sha256}</code></li>`,
  );
  const stages = node.stages.map(({ title, summary }) => `${title} (${summary})`).join(' → ');
  return markup`<strong>${node.name}</strong>${stages !== '' && `: ${stages}`}${artifacts.length > 0 && markup`<ul class="plain lineage">${artifacts}</ul>`}`;
}

function notes(rows: readonly ComparisonRow[]): Markup | null {
  const items = rows.flatMap((row) => row.notes.map((note) => markup`<li><strong>${row.name}</strong>: ${note}</li>`));
  return items.length > 0 ? section('Notes', markup`<ul class="plain">${items}</ul>`) : null;
}

/** Keeps numbers and their units on one line. */
function unbroken(text: string): string {
  return text.replace(/(\d) (?=%|[KMGT]?B\b|points)/g, '$1\u00a0');
}

function figure(content: Markup | null, caption: string): Markup {
  return content ? markup`<figure>${content}<figcaption>${caption}</figcaption></figure>` : markup`<p>Nothing has been measured yet.</p>`;
}

function section(title: string, content: MarkupValue): Markup {
  return markup`<section><h2>${title}</h2>${content}</section>`;
}
