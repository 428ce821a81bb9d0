/** Expressions as trees: what the reader makes of an answer, and what is computed from it. */
import type { Rational } from '../rational.ts';

export type Node =
  | { kind: 'number'; value: Rational /** Written with a decimal point. */; decimal: boolean }
  | { kind: 'symbol'; name: string }
  | { kind: 'constant'; name: 'pi' | 'e' | 'i' | 'infinity' }
  | { kind: 'call'; name: string; args: Node[] };

export const call = (name: string, ...args: Node[]): Node => ({ kind: 'call', name, args });

/** Every node of the tree, parents first. */
export function* nodesOf(root: Node): Generator<Node> {
  const stack: Node[] = [root];
  for (let node = stack.pop(); node; node = stack.pop()) {
    yield node;
    if (node.kind === 'call') stack.push(...node.args);
  }
}

export function symbolsOf(...roots: Node[]): string[] {
  const names = new Set<string>();
  for (const root of roots) for (const node of nodesOf(root)) if (node.kind === 'symbol') names.add(node.name);
  return [...names].sort();
}

export function some(root: Node, test: (node: Node) => boolean): boolean {
  for (const node of nodesOf(root)) if (test(node)) return true;
  return false;
}

/** Whether a number in it is written with a decimal point, so that it may stand for a rounded one. */
export const hasDecimal = (root: Node): boolean => some(root, (node) => node.kind === 'number' && node.decimal);
