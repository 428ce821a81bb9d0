/**
 * The LaTeX report: an article that compiles as it is with pdfLaTeX, XeLaTeX or LuaLaTeX, and tables that can be taken out of it one by one.
 * It shows the figures of the other formats; charts are left to them.
 */
import type { StudyComparison } from '#contract/comparison.ts';
import { findings } from '../findings.ts';
import { date } from '../format.ts';
import { methodsParagraph } from '../methods-paragraph.ts';
import { methodNotes } from '../methods-text.ts';
import { accuracyTable, costTable, matrixTables, pairedTable, resultsTable, variantTable } from './result-tables.ts';
import { failureSection, longSettings, perplexitySection, protocolTable, provenanceTables, resolutionSection } from './sections.ts';
import { type LatexTable, latexTables } from './table.ts';
import { latexText, unicodeLetterDefinition } from './text.ts';

const mostWaiting = 8;

export function latexReport(comparison: StudyComparison): string {
  const text = body(comparison)
    .filter((part) => part !== '')
    .join('\n\n');
  return `${preamble(text.includes('\\unicodeletter{'))}\n\n${text}\n\n\\end{document}\n`;
}

function body(comparison: StudyComparison): string[] {
  const label = (part: string) => `study${comparison.studyId}-${part}`;
  const named = findings(comparison).map(({ title, text }) => `\\textbf{${latexText(title)}.} ${latexText(text)}`);
  return [
    `\\title{${latexText(comparison.name)}}`,
    `\\author{}\n\\date{${latexText(date(comparison.createdAt))}}`,
    '\\begin{document}\n\\maketitle',
    latexText(comparison.description),
    list(named),
    section('Methods', latexText(methodsParagraph(comparison))),
    tables('Results', [
      resultsTable(comparison, label('results')),
      accuracyTable(comparison, label('accuracy')),
      ...matrixTables(comparison, label('matrix')),
      variantTable(comparison, label('runs')),
    ]),
    tables('Paired tests', [pairedTable(comparison, label('paired'))]),
    tables('Resolution', [resolutionSection(comparison, label('resolution'))]),
    tables('Failures', [failureSection(comparison, label('failures'))]),
    tables('Perplexity', [perplexitySection(comparison, label('perplexity'))]),
    tables('Cost', [costTable(comparison, label('cost'))]),
    tables('Protocol', [protocolTable(comparison, label('protocol'))]),
    ...longSettings(comparison),
    tables('Models, data, hardware', provenanceTables(comparison, label('provenance'))),
    section('How the numbers are computed', list(methodNotes(comparison.rows).map(latexText))),
    notes(comparison),
  ];
}

function preamble(hasOtherLetters: boolean): string {
  const definition = hasOtherLetters ? '\nand the definition of \\unicodeletter where it is used' : '';
  return [
    '% Made with Roundoff. Compiles with pdfLaTeX, XeLaTeX and LuaLaTeX.',
    '% A table can be taken into a paper alone, from \\begin{table} to \\end{table}. The paper needs',
    `% \\usepackage{booktabs} and, with pdfLaTeX, \\usepackage[T1]{fontenc}${definition.replace('\n', '\n% ')}.`,
    '\\documentclass[10pt,a4paper]{article}',
    '\\ifdefined\\XeTeXversion\\else\\ifdefined\\directlua\\else',
    '  \\usepackage[T1]{fontenc}',
    '  \\usepackage[utf8]{inputenc}',
    '  \\usepackage{textcomp}',
    '  \\IfFileExists{lmodern.sty}{\\usepackage{lmodern}}{}',
    '\\fi\\fi',
    '\\usepackage[margin=2.5cm]{geometry}',
    '\\usepackage{booktabs}',
    '\\emergencystretch=2em',
    ...(hasOtherLetters ? [unicodeLetterDefinition] : []),
  ].join('\n');
}

/** Many tables are set before the next section begins, as LaTeX holds back only so many. */
function tables(title: string, all: readonly LatexTable[]): string {
  const sources = all.flatMap(latexTables);
  if (sources.length === 0) return '';
  const labels = sources.map((source) => /\\label\{(.*?)\}/.exec(source)![1]!);
  const named = `${labels.length === 1 ? 'Table' : 'Tables'}~${labels.map((label) => `\\ref{${label}}`).join(', ')}.`;
  return section(title, [named, ...sources, ...(sources.length > mostWaiting ? ['\\clearpage'] : [])].join('\n\n'));
}

function section(title: string, content: string): string {
  return content === '' ? '' : `\\section*{${title}}\n\n${content}`;
}

function list(items: readonly string[]): string {
  if (items.length === 0) return '';
  return `\\begin{itemize}\n${items.map((item) => `  \\item ${item}`).join('\n')}\n\\end{itemize}`;
}

function notes({ rows }: StudyComparison): string {
  return section('Notes', list(rows.flatMap(({ name, notes: own }) => own.map((note) => `${latexText(name)}: ${latexText(note)}`))));
}
