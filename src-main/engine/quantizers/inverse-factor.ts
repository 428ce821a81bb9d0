/**
 * The upper factor U of an inverse, UᵀU = A⁻¹, for a symmetric positive definite A: what GPTQ walks along (Frantar et al. 2022,
 * "Cholesky reformulation"). With A reversed in both axes, A' = MMᵀ and U is M⁻¹ reversed, so one Cholesky factorisation and one
 * triangular inverse suffice; A⁻¹ itself is never formed. Float64 in column panels, whose products are native; see double-gemm.ts.
 */
import { assignProduct, deepest, subtractProduct } from './double-gemm.ts';
import { choleskyTile, invertTile } from './triangular-tile.ts';

/** Columns of a lower triangle from their diagonal tile down. Panels but the last are `deepest` wide. */
interface Panel {
  /** First column, and row. */
  start: number;
  width: number;
  /** [n − start, width] */
  values: Float64Array;
  /** Inverse of the diagonal tile, [width, width]; zeros until the tile is factored. */
  inverse: Float64Array;
}

/** U [n, n] row-major with UᵀU = A⁻¹, or null when A [n, n] is not positive definite. `a` is left as it is. */
export function inverseUpperFactor(a: Float64Array, n: number): Float64Array | null {
  const panels = reversedPanels(a, n);
  const scratch = new Float64Array(n * deepest);
  for (const panel of panels) if (!factorPanel(panel, panels, n, scratch)) return null;
  const upper = new Float64Array(n * n);
  const column = new Float64Array(n * deepest);
  for (const panel of panels) {
    invertColumns(column, panel, panels, n, scratch);
    storeReversed(upper, column, panel, n);
  }
  return upper;
}

/** The lower triangle of A reversed in both axes. */
function reversedPanels(a: Float64Array, n: number): Panel[] {
  return Array.from({ length: Math.ceil(n / deepest) }, (_, index) => {
    const start = index * deepest;
    const width = Math.min(deepest, n - start);
    const values = new Float64Array((n - start) * width);
    for (let row = start; row < n; row++) {
      const source = (n - 1 - row) * n + n - 1 - start;
      const target = (row - start) * width;
      for (let column = 0; column < width; column++) values[target + column] = a[source - column]!;
    }
    return { start, width, values, inverse: new Float64Array(width * width) };
  });
}

/** Rows of a panel from row `row` of the whole matrix on. */
function rowsFrom(values: Float64Array, panel: Panel, row: number): Float64Array {
  return values.subarray((row - panel.start) * panel.width);
}

/** Turns a panel of A' into one of M, given the panels before it. False when a pivot is not a positive number. */
function factorPanel(panel: Panel, panels: Panel[], n: number, scratch: Float64Array): boolean {
  const { start, width, values, inverse } = panel;
  for (const before of panels) {
    if (before === panel) break;
    const operand = rowsFrom(before.values, before, start);
    subtractProduct(values, { a: operand, b: operand, rows: n - start, columns: width, depth: before.width, transB: true });
  }
  if (!choleskyTile(values, width)) return false;
  invertTile(inverse, values, width);
  const below = rowsFrom(values, panel, start + width);
  scratch.set(below);
  assignProduct(below, { a: scratch, b: inverse, rows: n - start - width, columns: width, depth: width, transB: true });
  return true;
}

/**
 * The columns of M⁻¹ that belong to `panel`, [n − start, width] from their diagonal down: each tile, once its row of M has been
 * multiplied by the tiles above, is solved by the inverse of M's diagonal tile.
 */
function invertColumns(column: Float64Array, panel: Panel, panels: Panel[], n: number, scratch: Float64Array): void {
  const { width } = panel;
  column.fill(0, 0, (n - panel.start) * width);
  column.set(panel.inverse);
  for (const factor of panels) {
    if (factor.start < panel.start) continue;
    const tile = rowsFrom(column, panel, factor.start);
    if (factor !== panel) {
      scratch.set(tile.subarray(0, factor.width * width));
      assignProduct(tile, { a: factor.inverse, b: scratch, rows: factor.width, columns: width, depth: factor.width });
    }
    const end = factor.start + factor.width;
    const below = rowsFrom(factor.values, factor, end);
    subtractProduct(rowsFrom(column, panel, end), { a: below, b: tile, rows: n - end, columns: width, depth: factor.width });
  }
}

function storeReversed(upper: Float64Array, column: Float64Array, panel: Panel, n: number): void {
  const { start, width } = panel;
  for (let row = start; row < n; row++) {
    const source = (row - start) * width;
    const target = (n - 1 - row) * n + n - 1 - start;
    for (let i = 0; i < width; i++) upper[target - i] = column[source + i]!;
  }
}
