/**
 * Exact value of a short arithmetic expression, plain or LaTeX: `-3/4`, `\frac{3}{4}`, `\frac12`, `3\frac{1}{2}`, `1.5\times10^{3}`,
 * `2^{10}`. A recursive-descent parser with a depth limit; anything it does not know yields null and is compared as text.
 */
import { add, divide, multiply, negate, parseDecimal, power, type Rational } from './rational.ts';

const maxDepth = 40;
const token = /\s*(\\frac|\\cdot|\\times|\\div|\d+(?:\.\d*)?|\.\d+|[-+*/^(){}])/y;

/** The value, or null if `text` is not wholly an expression of numbers. Expects cleaned text (no units, no thousands commas). */
export function evaluateExpression(text: string): Rational | null {
  const tokens = tokenize(text.trim());
  if (!tokens) return null;
  const parser = { tokens, at: 0, depth: 0 };
  const value = sum(parser);
  return parser.at === tokens.length ? value : null;
}

interface Parser {
  tokens: string[];
  at: number;
  depth: number;
}

function tokenize(text: string): string[] | null {
  const tokens: string[] = [];
  token.lastIndex = 0;
  while (token.lastIndex < text.length) {
    const match = token.exec(text);
    if (!match) return null;
    tokens.push(match[1]!);
  }
  return tokens.length > 0 ? tokens : null;
}

function sum(parser: Parser): Rational | null {
  let value = product(parser);
  while (value) {
    const operator = parser.tokens[parser.at];
    if (operator !== '+' && operator !== '-') break;
    parser.at += 1;
    const next = product(parser);
    if (!next) return null;
    value = add(value, operator === '+' ? next : negate(next));
  }
  return value;
}

function product(parser: Parser): Rational | null {
  let value = signed(parser);
  while (value) {
    const operator = parser.tokens[parser.at];
    if (operator === undefined || !['*', '/', '\\cdot', '\\times', '\\div'].includes(operator)) break;
    parser.at += 1;
    const next = signed(parser);
    if (!next) return null;
    value = operator === '/' || operator === '\\div' ? divide(value, next) : multiply(value, next);
  }
  return value;
}

function signed(parser: Parser): Rational | null {
  let negative = false;
  while (parser.tokens[parser.at] === '-' || parser.tokens[parser.at] === '+') {
    if (parser.tokens[parser.at] === '-') negative = !negative;
    parser.at += 1;
  }
  const value = raised(parser);
  return value && negative ? negate(value) : value;
}

function raised(parser: Parser): Rational | null {
  const base = atom(parser);
  if (!base || parser.tokens[parser.at] !== '^') return base;
  parser.at += 1;
  const sign = parser.tokens[parser.at] === '-' ? -1 : 1;
  if (sign < 0) parser.at += 1;
  const exponent = atom(parser);
  return exponent ? power(base, sign < 0 ? negate(exponent) : exponent) : null;
}

function atom(parser: Parser): Rational | null {
  const current = parser.tokens[parser.at];
  if (current === undefined) return null;
  if (current === '(') return enclosed(parser, ')');
  if (current === '{') return enclosed(parser, '}');
  if (current === '\\frac') return fraction(parser);
  const number = parseDecimal(current);
  if (!number) return null;
  parser.at += 1;
  // A mixed number: 3\frac{1}{2} is three and a half.
  if (parser.tokens[parser.at] === '\\frac' && number.denominator === 1n) {
    const part = fraction(parser);
    return part && add(number, part);
  }
  return number;
}

function enclosed(parser: Parser, close: string): Rational | null {
  if (parser.depth >= maxDepth) return null;
  parser.depth += 1;
  parser.at += 1;
  const value = sum(parser);
  parser.depth -= 1;
  if (!value || parser.tokens[parser.at] !== close) return null;
  parser.at += 1;
  return value;
}

function fraction(parser: Parser): Rational | null {
  if (parser.depth >= maxDepth) return null;
  parser.at += 1;
  const numerator = fractionPart(parser);
  const denominator = numerator && fractionPart(parser);
  return denominator ? divide(numerator, denominator) : null;
}

/** `{…}`, or a single digit as in `\frac12` and `\frac1{12}`. */
function fractionPart(parser: Parser): Rational | null {
  const current = parser.tokens[parser.at];
  if (current === '{') return enclosed(parser, '}');
  if (current === undefined || !/^\d+$/.test(current)) return null;
  if (current.length === 1) parser.at += 1;
  else parser.tokens[parser.at] = current.slice(1);
  return parseDecimal(current[0]!);
}
