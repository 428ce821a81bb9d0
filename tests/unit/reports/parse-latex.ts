/**
 * A strict reader of the LaTeX that reports are made of: environments close in order, braces match, `&` stands only between cells, `_`
 * and `^` only in mathematics, `$` in pairs. Anything else throws, which is how tests hold the reports to compile.
 */
export interface LatexEnvironment {
  name: string;
  source: string;
}

export interface LatexTable {
  caption: string;
  label: string;
  /** Cells as their source; the second line of a cell is a line of its own. */
  header: string[];
  lines: string[][];
  notes: string[];
}

export function checkLatex(document: string): { preamble: string; body: string; environments: LatexEnvironment[] } {
  if (/[^\n -~]/.test(document)) throw new Error('a character beyond ASCII');
  const [preamble = '', rest] = document.split('\\begin{document}');
  if (rest === undefined || !rest.endsWith('\\end{document}\n')) throw new Error('no document');
  const body = rest.slice(0, -'\\end{document}\n'.length);
  const environments: LatexEnvironment[] = [];
  const open: { name: string; at: number }[] = [];
  let braces = 0;
  let isMaths = false;
  for (let at = 0; at < body.length; at++) {
    const place = () => body.slice(Math.max(0, at - 60), at + 20);
    const char = body[at]!;
    if (char === '\\') {
      const [, command = '', name] = /^\\(begin|end)?(?:\{(\w+)\})?/.exec(body.slice(at, at + 40))!;
      if (command === 'begin') open.push({ name: name!, at });
      if (command === 'end') {
        const last = open.pop();
        if (last?.name !== name) throw new Error(`\\end{${name}} closes ${last?.name}: ${place()}`);
        environments.push({ name: last!.name, source: body.slice(last!.at, at + `\\end{${name}}`.length) });
      }
      // An escaped sign is the next character; the letters of a command need no look.
      at += 1;
    } else if (char === '{') braces += 1;
    else if (char === '}') {
      braces -= 1;
      if (braces < 0) throw new Error(`a brace too many: ${place()}`);
    } else if (char === '$') isMaths = !isMaths;
    else if (char === '&' && open.at(-1)?.name !== 'tabular') throw new Error(`& outside a table: ${place()}`);
    else if ((char === '_' || char === '^') && !isMaths) throw new Error(`${char} outside mathematics: ${place()}`);
    else if (char === '#' || char === '%') throw new Error(`a bare ${char}: ${place()}`);
  }
  if (open.length > 0 || braces !== 0 || isMaths) throw new Error(`left open: ${open.map(({ name }) => name)}, ${braces} braces`);
  return { preamble, body, environments };
}

export function latexTablesOf(environments: readonly LatexEnvironment[]): LatexTable[] {
  return environments.filter(({ name }) => name === 'table').map(({ source }) => parseTable(source));
}

/** What the source of a text shows. Bold, raised and small print is print all the same. */
export function shownText(source: string): string {
  const commands: Record<string, string> = {
    '\\textbackslash{}': '\\',
    '\\textasciitilde{}': '~',
    '\\textasciicircum{}': '^',
    '\\textless{}': '<',
  };
  return source
    .replace(/\\shortstack\[[lcr]\]\{(.*)\}$/, (_, lines: string) => lines.replace(/([-_/])\\\\/g, '$1').replaceAll('\\\\', ' '))
    .replace(/\\unicodeletter\{([0-9A-F]+)\}/g, (_, code: string) => String.fromCodePoint(Number.parseInt(code, 16)))
    .replace(/\\(textbackslash|textasciitilde|textasciicircum|textless)\{\}/g, (command) => `\ue000${commands[command]}`)
    .replace(/\\textgreater\{\}/g, '>')
    .replace(/\\textbar\{\}/g, '|')
    .replace(/\\textquotedbl\{\}/g, '"')
    .replace(/\\textasciigrave\{\}/g, '`')
    .replace(/\\textendash\{\}/g, '–')
    .replace(/\$-\$/g, '−')
    .replace(/\\(rlap|mbox|textsuperscript|textbf|emph|texttt)\b/g, '')
    .replace(/\\(scriptsize|allowbreak)\b ?/g, '')
    .replace(/\\([{}$&#_%])/g, (_, sign: string) => `\ue000${sign}`)
    .replace(/(?<!\ue000)[{}]/g, '')
    .replaceAll('\ue000', '');
}

function parseTable(source: string): LatexTable {
  const tabular = /\\begin\{tabular\}\{[^\n]*\n([\s\S]*?)\\end\{tabular\}/.exec(source)?.[1];
  const caption = /\\caption\{(.*)\}\n/.exec(source)?.[1];
  const label = /\\label\{tab:([a-z0-9-]+)\}/.exec(source)?.[1];
  if (tabular === undefined || caption === undefined || label === undefined) throw new Error(`not a whole table: ${source.slice(0, 200)}`);
  const lines = tabular
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line.endsWith('\\\\') && !line.startsWith('\\multicolumn'))
    .map((line) =>
      line
        .slice(0, -2)
        .split(/(?<!\\)&/)
        .map((cell) => cell.trim()),
    );
  const [header, ...rest] = lines;
  if (!['\\toprule', '\\midrule', '\\bottomrule'].every((rule) => tabular.includes(rule))) throw new Error(`rules are missing in ${label}`);
  for (const line of rest)
    if (line.length !== header!.length) throw new Error(`${label}: ${line.length} cells under ${header!.length} titles`);
  return {
    caption,
    label,
    header: header!,
    lines: rest,
    notes: [...source.matchAll(/\\footnotesize (.*)\\end\{minipage\}/g)].map(([, note]) => note!),
  };
}
