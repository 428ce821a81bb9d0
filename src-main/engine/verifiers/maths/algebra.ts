/**
 * Whether two formulas are equal, by computer algebra (Compute Engine): canonical forms, fifty digits where there are no unknowns, then
 * simplification. It can take arbitrarily long, so it runs in a thread that is ended when it does.
 */
import { ComputeEngine } from '@cortex-js/compute-engine';

const digits = 50;
const agreeing = 1e-35;

export type Algebra = (gold: string, answer: string) => boolean | null;

/** Null when a formula cannot be read, or nothing is found either way. */
export function createAlgebra(): Algebra {
  const engine = new ComputeEngine();
  engine.precision = digits;
  return (gold, answer) => {
    const [a, b] = [engine.parse(gold), engine.parse(answer)];
    if (!a?.isValid || !b?.isValid) return null;
    if (a.isSame(b)) return true;
    if (a.unknowns.length === 0 && b.unknowns.length === 0) return equalValues(engine, a, b);
    if (a.simplify().isSame(b.simplify())) return true;
    return a.isEqual(b) ?? null;
  };
}

type Expression = NonNullable<ReturnType<ComputeEngine['parse']>>;

function equalValues(engine: ComputeEngine, a: Expression, b: Expression): boolean | null {
  const difference = engine.expr(['Subtract', a.json, b.json]).N();
  const [size, scale] = [difference, a.N()].map((value) => Math.hypot(value.re, value.im));
  if (size === undefined || scale === undefined || !Number.isFinite(size) || !Number.isFinite(scale)) return null;
  return size <= agreeing * Math.max(scale, 1e-300);
}
