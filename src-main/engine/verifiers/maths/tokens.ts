/** Splits an expression into tokens: numbers, names (letters, Greek letters, functions), words and signs. */

export interface Token {
  type: 'number' | 'name' | 'function' | 'sign' | 'text';
  text: string;
  /** White space stood before it. */
  spaced: boolean;
}

export const functionNames = new Set(
  'sin cos tan cot sec csc arcsin arccos arctan arccot sinh cosh tanh coth ln log lg exp sqrt abs floor ceil max min gcd lcm det'.split(
    ' ',
  ),
);
const aliases: Record<string, string> = { asin: 'arcsin', acos: 'arccos', atan: 'arctan', lg: 'log', log10: 'log', ceiling: 'ceil' };
const greek = new Set(
  (
    'alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi rho sigma tau upsilon phi chi psi omega Gamma Delta Theta ' +
    'Lambda Xi Pi Sigma Phi Psi Omega hbar ell pi infty odot circ prime angle triangle Re Im aleph'
  ).split(' '),
);
const commands = new Set(
  (
    'frac binom sqrt cdot times div pm mp le ge ne approx equiv lfloor rfloor lceil rceil dot ddot bar hat tilde vec overline overrightarrow ' +
    'underline widehat degree text pmod bmod'
  ).split(' '),
);
const maxTokens = 1500;
const number = /(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d{1,5}(?![\d.]))?/y;
const letters = /(?:np\.|math\.)?([A-Za-z]+\d*)/y;

/** Null when there is something no expression holds. */
export function tokenize(text: string): Token[] | null {
  const tokens: Token[] = [];
  let at = 0;
  let spaced = false;
  while (at < text.length) {
    if (tokens.length > maxTokens) return null;
    const char = text[at]!;
    if (char === ' ') {
      at += 1;
      spaced = true;
      continue;
    }
    const found = char === '\\' ? commandAt(text, at) : /[\d.]/.test(char) ? numberAt(text, at) : wordAt(text, at);
    if (!found) return null;
    tokens.push(...found.tokens.map((token, index) => ({ ...token, spaced: index === 0 && spaced })));
    at = found.end;
    spaced = false;
  }
  return tokens;
}

interface Found {
  tokens: Omit<Token, 'spaced'>[];
  end: number;
}

function numberAt(text: string, at: number): Found | null {
  number.lastIndex = at;
  const match = number.exec(text);
  return match && { tokens: [{ type: 'number', text: match[0] }], end: number.lastIndex };
}

function commandAt(text: string, at: number): Found | null {
  const match = /^\\([a-zA-Z]+|[{}|])/.exec(text.slice(at, at + 32));
  if (!match) return null;
  const name = match[1]!;
  const end = at + match[0].length;
  if (name === 'text') return textAt(text, end);
  const known = aliases[name] ?? name;
  if (functionNames.has(known) && name !== 'sqrt') return { tokens: [{ type: 'function', text: known }], end };
  if (greek.has(name)) return { tokens: [{ type: 'name', text: `\\${name}` }], end };
  return commands.has(name) ? { tokens: [{ type: 'sign', text: `\\${name}` }], end } : null;
}

/** A word of one letter, or naming a function, is used like the plain letters; others are words. */
function textAt(text: string, at: number): Found | null {
  const match = /^\s*\{([^{}]*)\}/.exec(text.slice(at));
  if (!match) return null;
  const words = match[1]!.trim();
  const end = at + match[0].length;
  if (/^[A-Za-z]$/.test(words)) return { tokens: [{ type: 'name', text: words }], end };
  if (functionNames.has(words)) return { tokens: [{ type: 'function', text: words }], end };
  return { tokens: [{ type: 'text', text: words }], end };
}

/** A run of letters is one function or Greek letter where it names one, else a product of letters. */
function wordAt(text: string, at: number): Found | null {
  letters.lastIndex = at;
  const match = letters.exec(text);
  if (!match) return /[-+*/^_(){}[\]|!%'=<>,]/.test(text[at]!) ? { tokens: [{ type: 'sign', text: text[at]! }], end: at + 1 } : null;
  const run = match[1]!;
  const whole = aliases[run] ?? run;
  if (functionNames.has(whole)) return { tokens: [{ type: 'function', text: whole }], end: letters.lastIndex };
  const word = /^[A-Za-z]+/.exec(run)![0];
  const end = letters.lastIndex - (run.length - word.length);
  if (greek.has(word) && word.length > 1) return { tokens: [{ type: 'name', text: `\\${word}` }], end };
  const prefix = [...functionNames].find((name) => word.startsWith(name) && word.length === name.length + 1);
  if (prefix)
    return {
      tokens: [
        { type: 'function', text: prefix },
        { type: 'name', text: word.slice(prefix.length) },
      ],
      end,
    };
  if (/^(?:inf|infinity|oo)$/i.test(word) && word !== 'OO') return { tokens: [{ type: 'name', text: '\\infty' }], end };
  return { tokens: [...word].map((letter) => ({ type: 'name', text: letter })), end };
}
