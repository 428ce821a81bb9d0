/** Whether two JSON texts are equal as Python's `==` compares what they stand for: whole numbers of any size, 1 == 1.0 == true. */

type PythonValue = null | string | PythonNumber | PythonValue[] | { [key: string]: PythonValue };

class PythonNumber {
  readonly value: bigint | number;
  constructor(value: bigint | number) {
    this.value = value;
  }
}

/** Anything that is no JSON (also Infinity and NaN, as Python writes them) is equal to nothing. */
export function sameJson(expected: string, got: string): boolean {
  try {
    return equal(parse(expected), parse(got));
  } catch (error) {
    // A value nested beyond the stack is no expected result either.
    if (error instanceof SyntaxError || error instanceof RangeError) return false;
    throw error;
  }
}

function parse(text: string): PythonValue {
  const revive = (_: string, value: unknown, context?: { source?: string }): unknown => {
    if (typeof value === 'boolean') return new PythonNumber(value ? 1n : 0n);
    if (typeof value !== 'number') return value;
    const source = context?.source ?? String(value);
    return new PythonNumber(/[.eE]/.test(source) ? value : BigInt(source));
  };
  return JSON.parse(text, revive) as PythonValue;
}

function equal(a: PythonValue, b: PythonValue): boolean {
  if (a instanceof PythonNumber || b instanceof PythonNumber)
    return a instanceof PythonNumber && b instanceof PythonNumber && sameNumber(a, b);
  if (Array.isArray(a) || Array.isArray(b))
    return Array.isArray(a) && Array.isArray(b) && a.length === b.length && a.every((item, index) => equal(item, b[index]!));
  if (a === null || b === null || typeof a === 'string' || typeof b === 'string') return a === b;
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => Object.hasOwn(b, key) && equal(a[key]!, b[key]!));
}

/** Whole and floating numbers compare by value, exactly: JavaScript's `==` does that between bigint and number. */
function sameNumber({ value: a }: PythonNumber, { value: b }: PythonNumber): boolean {
  // biome-ignore lint/suspicious/noDoubleEquals: exact comparison across both kinds.
  return a == b;
}
