/**
 * Reads an expression, LaTeX or plain, into a tree: a recursive-descent parser with a depth limit. `2x` is a product, `3\frac{1}{2}` a mixed
 * number, `k(k+1)` a product but `f(x)` and `I(0)` are functions; what it does not know is no expression, and is compared otherwise.
 */
import { parseDecimal, rational } from '../rational.ts';
import { call, type Node } from './node.ts';
import { readNumber } from './read-number.ts';
import { functionNames, type Token, tokenize } from './tokens.ts';

const maxDepth = 60;

/** The expression, or null if `text` (normalised) is not wholly one. */
export function readExpression(text: string): Node | null {
  const tokens = tokenize(text);
  if (!tokens || tokens.length === 0) return null;
  const reader = new Reader(tokens);
  const node = reader.sum();
  return node && reader.ended ? node : null;
}

/** Methods return null for what is no expression; the position is meaningless then. */
class Reader {
  private readonly tokens: Token[];
  private at = 0;
  private depth = 0;
  /** Closing signs a `|` would end, so that `|x|` is told from the start of another. */
  private openBars = 0;

  constructor(tokens: Token[]) {
    this.tokens = tokens;
  }

  get ended(): boolean {
    return this.at === this.tokens.length;
  }

  sum(): Node | null {
    if (this.depth >= maxDepth) return null;
    this.depth += 1;
    const terms: Node[] = [];
    let sign = 1;
    for (;;) {
      const term = this.product();
      if (!term) return null;
      terms.push(sign < 0 ? call('negate', term) : term);
      if (!this.is('+') && !this.is('-')) break;
      sign = this.is('-') ? -1 : 1;
      this.at += 1;
    }
    this.depth -= 1;
    return terms.length === 1 ? terms[0]! : call('add', ...terms);
  }

  private product(): Node | null {
    let node = this.signed();
    while (node) {
      const operator = this.operator();
      if (operator) this.at += 1;
      else if (!this.startsFactor()) break;
      const next = operator ? this.signed() : this.power();
      if (!next) return null;
      node = operator === '/' ? call('divide', node, next) : call('multiply', node, next);
    }
    return node;
  }

  private operator(): '*' | '/' | null {
    if (this.is('*') || this.is('\\cdot') || this.is('\\times')) return '*';
    return this.is('/') || this.is('\\div') ? '/' : null;
  }

  /** A factor without an operator before it: not a number after a number, and no bar that closes. */
  private startsFactor(): boolean {
    const token = this.tokens[this.at];
    if (!token) return false;
    if (token.type === 'number') return this.tokens[this.at - 1]?.type !== 'number';
    if (token.type === 'name' || token.type === 'function') return true;
    if (token.text === '|') return this.openBars === 0;
    return (
      token.type === 'sign' &&
      /^(?:[([{]|\\(?:frac|binom|sqrt|lfloor|lceil|dot|ddot|bar|hat|tilde|vec|overline|widehat|overrightarrow))$/.test(token.text)
    );
  }

  private signed(): Node | null {
    let negative = false;
    while (this.is('-') || this.is('+')) {
      if (this.is('-')) negative = !negative;
      this.at += 1;
    }
    const node = this.power();
    return node && negative ? call('negate', node) : node;
  }

  private power(): Node | null {
    const base = this.postfix();
    if (!base || !this.is('^')) return base;
    this.at += 1;
    const exponent = this.exponent();
    return exponent && this.marks(call('power', base, exponent));
  }

  private exponent(): Node | null {
    if (this.depth >= maxDepth) return null;
    this.depth += 1;
    const node = this.is('{') ? this.enclosed('{', '}') : this.signed();
    this.depth -= 1;
    return node;
  }

  private postfix(): Node | null {
    const node = this.atom();
    return node && this.marks(node);
  }

  /** `!`, `%` and the degree sign. */
  private marks(node: Node): Node | null {
    let marked = node;
    for (;;) {
      const name = this.is('!') ? 'factorial' : this.is('%') ? 'percent' : this.is('\\degree') ? 'degree' : null;
      if (!name) return marked;
      marked = call(name, marked);
      this.at += 1;
      if (name === 'factorial' && this.is('!')) return null;
    }
  }

  private atom(): Node | null {
    const token = this.tokens[this.at];
    if (!token) return null;
    if (token.type === 'number') return this.number(token.text);
    if (token.type === 'name') return this.name(token.text);
    if (token.type === 'function') return this.functionCall(token.text);
    if (token.type === 'text') return null;
    if (token.text === '(') return this.enclosed('(', ')');
    if (token.text === '[') return this.enclosed('[', ']');
    if (token.text === '{') return this.enclosed('{', '}');
    if (token.text === '|') return this.absolute();
    if (token.text === '\\lfloor') return wrap('floor', this.enclosed('\\lfloor', '\\rfloor'));
    if (token.text === '\\lceil') return wrap('ceil', this.enclosed('\\lceil', '\\rceil'));
    if (token.text === '\\frac') return this.two('divide');
    if (token.text === '\\binom') return this.two('binomial');
    if (token.text === '\\sqrt') return this.root();
    return /^\\(?:dot|ddot|bar|hat|tilde|vec|overline|widehat|overrightarrow)$/.test(token.text) ? this.accented(token.text) : null;
  }

  private number(text: string): Node | null {
    this.at += 1;
    const repeated = this.repeatedDecimals(text);
    if (repeated) return repeated;
    const value = readNumber(text);
    if (!value) return null;
    const part = value.value.denominator === 1n && !value.decimal ? this.properFraction() : null;
    return part ? call('add', value, part) : value;
  }

  /** `0.1\overline{6}`. */
  private repeatedDecimals(text: string): Node | null {
    if (!/^\d+\.\d*$/.test(text) || !this.is('\\overline')) return null;
    const [open, digits, close] = this.tokens.slice(this.at + 1, this.at + 4);
    if (open?.text !== '{' || !digits || !/^\d{1,40}$/.test(digits.text) || close?.text !== '}') return null;
    this.at += 4;
    const start = parseDecimal(text);
    const decimals = text.length - text.indexOf('.') - 1;
    const tail = rational(BigInt(digits.text), 10n ** BigInt(decimals) * (10n ** BigInt(digits.text.length) - 1n));
    if (!start || !tail) return null;
    return call('add', { kind: 'number', value: start, decimal: false }, { kind: 'number', value: tail, decimal: false });
  }

  /** The `\frac{1}{2}` of `3\frac{1}{2}` or the `1/2` of `3 1/2`, if it is below one; otherwise the position stays. */
  private properFraction(): Node | null {
    const { at, depth } = this;
    const [first, slash, second] = this.tokens.slice(at, at + 3);
    let part: Node | null = null;
    if (first?.type === 'number' && first.spaced && slash?.text === '/' && second?.type === 'number') {
      this.at += 3;
      part = properFraction(first.text, second.text);
    } else if (first?.text === '\\frac') {
      const fraction = this.two('divide');
      part = fraction?.kind === 'call' ? properFraction(digitsOf(fraction.args[0]), digitsOf(fraction.args[1])) : null;
    }
    if (!part) Object.assign(this, { at, depth });
    return part;
  }

  private name(text: string): Node | null {
    this.at += 1;
    if (text === '\\pi') return { kind: 'constant', name: 'pi' };
    if (text === '\\infty') return { kind: 'constant', name: 'infinity' };
    const name = this.suffixed(text);
    if (name === null) return null;
    if (this.is('(') && this.isFunction(name)) return wrap(`function ${name}`, this.enclosed('(', ')'));
    if (name === 'e' || name === 'i') return { kind: 'constant', name };
    return { kind: 'symbol', name };
  }

  /** The name with its subscript and primes. */
  private suffixed(text: string): string | null {
    let name = text;
    if (this.is('_')) {
      this.at += 1;
      const subscript = this.is('{') ? this.braced() : (this.tokens[this.at++]?.text ?? null);
      if (subscript === null) return null;
      name += `_${subscript}`;
    }
    for (;;) {
      const [caret, open, prime] = this.tokens.slice(this.at, this.at + 3).map((token) => token.text);
      if (caret === "'") this.at += 1;
      else if (caret === '^' && open === '\\prime') this.at += 2;
      else if (caret === '^' && open === '{' && prime === '\\prime') this.at += 4;
      else return name;
      name += "'";
    }
  }

  /** Whether a name before a parenthesis is applied to it: the usual letters for functions, or a mere number inside. */
  private isFunction(name: string): boolean {
    const [, argument, close] = this.tokens.slice(this.at, this.at + 3);
    return /^[fghFGH](?![A-Za-z])/.test(name) || (argument?.type === 'number' && close?.text === ')');
  }

  /** The text between braces, which are closed once. */
  private braced(): string | null {
    const end = this.tokens.findIndex((token, index) => index > this.at && token.text === '}');
    if (end < 0) return null;
    const inside = this.tokens.slice(this.at + 1, end);
    this.at = end + 1;
    return inside.some((token) => token.text === '{') ? null : inside.map((token) => token.text).join('');
  }

  private accented(accent: string): Node | null {
    this.at += 1;
    const inner = this.is('{') ? this.braced() : (this.tokens[this.at++]?.text ?? null);
    const name = inner ? this.suffixed(`${accent}{${inner}}`) : null;
    return name === null ? null : { kind: 'symbol', name };
  }

  private functionCall(name: string): Node | null {
    this.at += 1;
    if (name === 'sqrt') return wrap('sqrt', this.is('{') ? this.enclosed('{', '}') : this.argument());
    let base: Node | null = null;
    if (name === 'log' && this.is('_')) {
      this.at += 1;
      base = this.is('{') ? this.enclosed('{', '}') : this.atom();
      if (!base) return null;
    }
    let exponent: Node | null = null;
    if (this.is('^')) {
      this.at += 1;
      exponent = this.exponent();
      if (!exponent) return null;
    }
    const argument = this.argument();
    if (!argument) return null;
    const inverse =
      exponent?.kind === 'call' &&
      exponent.name === 'negate' &&
      exponent.args[0]?.kind === 'number' &&
      exponent.args[0].value.numerator === 1n;
    if (inverse && functionNames.has(`arc${name}`)) return call(`arc${name}`, argument);
    const value = base ? call('log base', argument, base) : call(name, argument);
    return exponent ? call('power', value, exponent) : value;
  }

  /** In brackets, or the factors that follow up to an operator or the next function: `\sin 2t`. */
  private argument(): Node | null {
    if (this.is('(')) return this.enclosed('(', ')');
    if (this.is('[')) return this.enclosed('[', ']');
    if (this.depth >= maxDepth) return null;
    this.depth += 1;
    let node = this.tokens[this.at]?.type === 'function' || this.is('-') ? this.signed() : this.power();
    while (node && this.startsFactor() && this.tokens[this.at]?.type !== 'function') {
      const next = this.power();
      node = next && call('multiply', node, next);
    }
    this.depth -= 1;
    return node;
  }

  private absolute(): Node | null {
    this.openBars += 1;
    const node = this.enclosed('|', '|');
    this.openBars -= 1;
    return wrap('abs', node);
  }

  private enclosed(open: string, close: string): Node | null {
    if (!this.is(open)) return null;
    this.at += 1;
    const bars = this.openBars;
    if (open !== '|') this.openBars = 0;
    const node = this.sum();
    this.openBars = bars;
    if (!node || !this.is(close)) return null;
    this.at += 1;
    return node;
  }

  private root(): Node | null {
    this.at += 1;
    const degree = this.is('[') ? this.enclosed('[', ']') : undefined;
    if (degree === null) return null;
    const radicand = this.is('(') ? this.enclosed('(', ')') : this.part();
    if (!radicand) return null;
    return degree ? call('root', radicand, degree) : call('sqrt', radicand);
  }

  private two(name: 'divide' | 'binomial'): Node | null {
    this.at += 1;
    const first = this.part();
    const second = first && this.part();
    return second && call(name, first, second);
  }

  /** An argument of a LaTeX command: `{…}` or one digit, letter or command, as in `\frac12` and `\sqrt3`. */
  private part(): Node | null {
    if (this.depth >= maxDepth) return null;
    const token = this.tokens[this.at];
    if (token?.text === '{') return this.enclosed('{', '}');
    if (token?.type === 'number' && /^\d/.test(token.text)) {
      const digit = token.text[0]!;
      if (token.text.length === 1) this.at += 1;
      else this.tokens[this.at] = { ...token, text: token.text.slice(1) };
      return readNumber(digit);
    }
    this.depth += 1;
    const node = token?.type === 'name' || token?.text.startsWith('\\') ? this.atom() : null;
    this.depth -= 1;
    return node;
  }

  private is(text: string): boolean {
    const token = this.tokens[this.at];
    return token !== undefined && token.text === text && token.type !== 'text';
  }
}

function wrap(name: string, argument: Node | null): Node | null {
  return argument && call(name, argument);
}

/** The digits of a whole number without a sign, or no digits. */
function digitsOf(node: Node | undefined): string {
  return node?.kind === 'number' && !node.decimal && node.value.denominator === 1n ? String(node.value.numerator) : '';
}

function properFraction(over: string, under: string): Node | null {
  if (!/^\d{1,40}$/.test(over) || !/^\d{1,40}$/.test(under)) return null;
  const value = BigInt(over) < BigInt(under) ? rational(BigInt(over), BigInt(under)) : null;
  return value && { kind: 'number', value, decimal: false };
}
