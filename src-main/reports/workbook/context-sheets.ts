/** The sheets beside the results: protocol and provenance, texts, completions. */
import { measureText } from '#contract/benchmarks.ts';
import type { StudyComparison } from '#contract/comparison.ts';
import type { SampleRow } from '#contract/records.ts';
import { findings } from '../findings.ts';
import { date } from '../format.ts';
import { methodsParagraph } from '../methods-paragraph.ts';
import { methodNotes } from '../methods-text.ts';
import { protocolEntries } from '../protocol-entries.ts';
import { type CellValue, longestText, type SheetColumn, tableSheet, type WorkbookSheet } from './cells.ts';

interface Entry {
  about: string;
  name: string;
  value: CellValue;
  hash?: string;
}

/** Protocol, models, data, hardware and versions. */
export function protocolSheet(comparison: StudyComparison): WorkbookSheet {
  const { protocol, protocolHash, models, benchmarks, texts, environment, createdAt } = comparison;
  const entries: Entry[] = [
    ...protocolEntries(protocol, protocolHash).map(([name, value]) => ({ about: 'protocol', name, value })),
    ...models.flatMap(({ name, path, hash, parameters, sizeBytes }) => [
      { about: 'model', name, value: path, hash },
      { about: 'model', name: `${name}, parameters`, value: parameters },
      { about: 'model', name: `${name}, bytes`, value: sizeBytes },
    ]),
    ...benchmarks.flatMap((each) => [
      { about: 'benchmark', name: each.name, value: each.path, hash: each.sha256 },
      { about: 'benchmark', name: `${each.name}, problems`, value: each.problems },
      { about: 'benchmark', name: `${each.name}, measured`, value: measureText(each) },
    ]),
    ...texts.map(({ name, path, sha256 }) => ({ about: 'text', name, value: path, hash: sha256 })),
    { about: 'environment', name: 'study created', value: date(createdAt) },
    ...Object.entries(environment).map(([name, value]) => ({ about: 'environment', name, value })),
  ];
  return tableSheet<Entry>(
    'Protocol',
    [
      { title: 'about', value: ({ about }) => about },
      { title: 'name', value: ({ name }) => name },
      { title: 'value', format: 'count', wrap: true, value: ({ value }) => value },
      { title: 'sha256', value: ({ hash }) => hash ?? null },
    ],
    entries,
  );
}

/** What the study is and found, and how to read the figures. */
export function textSheet(comparison: StudyComparison): WorkbookSheet {
  const { name, description, rows } = comparison;
  const lines: { about: string; text: string }[] = [
    { about: 'study', text: name },
    { about: 'description', text: description },
    ...findings(comparison).map(({ title, text }) => ({ about: title, text })),
    { about: 'methods', text: methodsParagraph(comparison) },
    {
      about: 'units',
      text: 'Accuracies, changes and recovery are shares of 1, shown in percent or points. Sizes and memory are bytes, times seconds.',
    },
    ...methodNotes(rows).map((text) => ({ about: 'how the numbers are computed', text })),
  ];
  return tableSheet<(typeof lines)[number]>(
    'Text',
    [
      { title: 'about', wrap: true, value: ({ about }) => about },
      { title: 'text', wrap: true, value: ({ text }) => text },
    ],
    lines,
  );
}

/** Completions side by side; `about` says which they are. Null without any. */
export function sampleSheet(samples: readonly SampleRow[], about: string): WorkbookSheet | null {
  if (samples.length === 0) return null;
  const text = (title: string, value: SheetColumn<SampleRow>['value']): SheetColumn<SampleRow> => ({ title, value });
  const longText = (title: string, value: SheetColumn<SampleRow>['value']): SheetColumn<SampleRow> => ({ title, wrap: true, value });
  return tableSheet<SampleRow>(
    'Samples',
    [
      text('run', ({ runName }) => runName),
      text('benchmark', ({ benchmark }) => benchmark),
      text('problem', ({ problemId }) => problemId),
      { title: 'seed', format: 'plain', value: ({ seed }) => seed },
      text('verdict', ({ verdict }) => verdict),
      text('reference answer', ({ gold }) => gold),
      text('answer', ({ extracted }) => extracted),
      { title: 'tokens', format: 'count', value: ({ completionTokens }) => completionTokens },
      text('ended by', ({ finishReason }) => finishReason),
      longText('detail', ({ detail }) => detail),
      longText('prompt', ({ prompt }) => prompt),
      longText('completion', ({ completion }) => completion),
    ],
    samples,
    [`${about} Texts beyond ${longestText.toLocaleString('en-US')} characters are cut.`],
  );
}
