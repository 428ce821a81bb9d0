/** Table `recipes`: frozen copies, one row per distinct content. */
import { createHash } from 'node:crypto';
import { canonicalJson } from '#contract/protocol.ts';
import type { Recipe } from '#contract/recipe.ts';
import { type Connection, firstRow, statement } from '../connection.ts';

/** The id of a recipe with exactly this content, added when it is new. */
export function saveRecipe(db: Connection, recipe: Recipe): number {
  const body = canonicalJson(recipe);
  const hash = createHash('sha256').update(body).digest('hex');
  const known = firstRow<{ id: number }>(db, 'SELECT id FROM recipes WHERE hash = ?', hash);
  if (known) return known.id;
  const { lastInsertRowid } = statement(db, 'INSERT INTO recipes (hash, name, body) VALUES (?, ?, ?)').run(hash, recipe.name, body);
  return Number(lastInsertRowid);
}

/** Removes recipes that no run uses any more. */
export function deleteUnusedRecipes(db: Connection): void {
  statement(db, 'DELETE FROM recipes WHERE id NOT IN (SELECT recipe_id FROM runs)').run();
}
