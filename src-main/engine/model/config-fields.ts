/**
 * Typed access to the fields of a configuration that reports every wrong field instead of stopping at the first.
 * A wrong field yields 1, a harmless value that lets the remaining fields be checked too.
 */
import { isJsonObject, type JsonObject } from '../data/json-file.ts';
import type { ProblemList } from '../formats/problems.ts';

const hint = 'Restore config.json from the model’s source.';

export class ConfigFields {
  private readonly json: JsonObject;
  private readonly problems: ProblemList;
  private readonly path: string;

  constructor(json: JsonObject, problems: ProblemList, path = '') {
    this.json = json;
    this.problems = problems;
    this.path = path;
  }

  has(key: string): boolean {
    return this.json[key] !== undefined && this.json[key] !== null;
  }

  /** A positive whole number. */
  count(key: string, fallback?: number): number {
    const value = this.json[key] ?? fallback;
    if (typeof value === 'number' && Number.isSafeInteger(value) && value > 0) return value;
    this.invalid(key, value === undefined ? 'the field is missing.' : `${JSON.stringify(value)} is not a positive whole number.`);
    return 1;
  }

  positive(key: string, fallback?: number): number {
    const value = this.json[key] ?? fallback;
    if (typeof value === 'number' && Number.isFinite(value) && value > 0) return value;
    this.invalid(key, value === undefined ? 'the field is missing.' : `${JSON.stringify(value)} is not a positive number.`);
    return 1;
  }

  flag(key: string, fallback: boolean): boolean {
    const value = this.json[key] ?? fallback;
    if (typeof value === 'boolean') return value;
    this.invalid(key, `${JSON.stringify(value)} is not true or false.`);
    return fallback;
  }

  text(key: string): string | null {
    const value = this.json[key] ?? null;
    if (value === null || typeof value === 'string') return value;
    this.invalid(key, `${JSON.stringify(value)} is not text.`);
    return null;
  }

  /** A token id or a list of them; the generation configuration takes precedence, as in transformers. */
  tokenIds(key: string, generation: JsonObject): number[] {
    const value = generation[key] ?? this.json[key] ?? [];
    const ids: unknown[] = Array.isArray(value) ? value : [value];
    if (ids.every((id) => Number.isSafeInteger(id) && (id as number) >= 0)) return ids as number[];
    this.invalid(key, `${JSON.stringify(value)} is not a token id or a list of token ids.`);
    return [];
  }

  section(key: string): ConfigFields | null {
    const value = this.json[key] ?? null;
    if (isJsonObject(value)) return new ConfigFields(value, this.problems, `${this.path}${key}.`);
    if (value !== null) this.invalid(key, `${JSON.stringify(value)} is not an object.`);
    return null;
  }

  invalid(key: string, message: string): void {
    this.problems.error(`config.json, ${this.path}${key}`, message, hint);
  }

  unsupported(key: string, message: string, remedy: string): void {
    this.problems.error(`config.json, ${this.path}${key}`, message, remedy, 'unsupported');
  }
}
