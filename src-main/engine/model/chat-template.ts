/**
 * A model's chat template (Jinja, @huggingface/jinja): messages in, prompt text out. Found where transformers looks for it:
 * `chat_template.jinja`, `chat_template.json`, then `chat_template` in tokenizer_config.json.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Template } from '@huggingface/jinja';
import { RoundoffError } from '#contract/errors.ts';
import { fileError, isJsonObject, type JsonObject, readOptionalJsonObject } from '../data/json-file.ts';

export interface ChatMessage {
  role: 'system' | 'user' | 'assistant';
  content: string;
}

export interface ChatTemplateOptions {
  /** End with the opening of the assistant's turn. Default true. */
  addGenerationPrompt?: boolean;
  /** For models that can think or not (Qwen3); null leaves the choice to the template. */
  enableThinking?: boolean | null;
}

export class ChatTemplate {
  private readonly template: Template;
  private readonly specialTokens: Record<string, string>;
  private readonly source: string;

  /** `specialTokens` are the variables such as `bos_token` that templates refer to. */
  constructor(text: string, specialTokens: Record<string, string>, source: string) {
    this.source = source;
    this.specialTokens = specialTokens;
    try {
      this.template = new Template(text);
    } catch (error) {
      throw new RoundoffError(
        'tokenizer-invalid',
        `${source}: the chat template is not valid: ${(error as Error).message}`,
        'Download the file again.',
        { cause: error },
      );
    }
  }

  /** The prompt of a conversation. Throws `bad-input` when the template refuses the messages. */
  render(messages: readonly ChatMessage[], options: ChatTemplateOptions = {}): string {
    const variables: Record<string, unknown> = {
      ...this.specialTokens,
      messages: messages.map((message) => ({ ...message })),
      add_generation_prompt: options.addGenerationPrompt ?? true,
    };
    if (typeof options.enableThinking === 'boolean') variables.enable_thinking = options.enableThinking;
    try {
      return this.template.render(variables);
    } catch (error) {
      throw new RoundoffError(
        'bad-input',
        `${this.source}: the chat template refused the conversation: ${(error as Error).message}`,
        'Check the roles and their order.',
        {
          cause: error,
        },
      );
    }
  }
}

/** The template of the model in `dir`, or null. Throws `tokenizer-invalid` when it cannot be parsed. */
export async function loadChatTemplate(dir: string, tokenizerConfig: JsonObject): Promise<ChatTemplate | null> {
  const found = await readChatTemplate(dir, tokenizerConfig);
  return found && new ChatTemplate(found.text, readSpecialTokens(tokenizerConfig), found.source);
}

/** The text of the template of the model in `dir` and the file it is from, or null. */
export async function readChatTemplate(dir: string, tokenizerConfig: JsonObject): Promise<{ text: string; source: string } | null> {
  const own = await readOptionalText(join(dir, 'chat_template.jinja'));
  if (own !== null) return { text: own, source: 'chat_template.jinja' };
  const json = await readOptionalJsonObject(join(dir, 'chat_template.json'), { code: 'tokenizer-invalid' });
  if (typeof json?.chat_template === 'string') return { text: json.chat_template, source: 'chat_template.json' };
  const text = defaultTemplate(tokenizerConfig.chat_template);
  return text === null ? null : { text, source: 'tokenizer_config.json' };
}

/** A single template, or the one called `default` of a list. */
function defaultTemplate(value: unknown): string | null {
  if (typeof value === 'string') return value;
  const named: JsonObject[] = Array.isArray(value) ? value.filter(isJsonObject) : [];
  const template = named.find((item) => item.name === 'default')?.template;
  return typeof template === 'string' ? template : null;
}

/** `bos_token`, `eos_token`, …: text, or objects with `content`. */
function readSpecialTokens(config: JsonObject): Record<string, string> {
  const tokens: Record<string, string> = {};
  for (const [key, value] of Object.entries(config)) {
    const content = isJsonObject(value) ? value.content : value;
    if (key.endsWith('_token') && typeof content === 'string') tokens[key] = content;
  }
  return tokens;
}

async function readOptionalText(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as { code?: unknown }).code === 'ENOENT') return null;
    throw fileError(path, error);
  }
}
