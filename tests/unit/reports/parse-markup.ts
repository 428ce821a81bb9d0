/**
 * A strict parser for the reports' markup: every element must be closed in order (void elements by `/>`), every attribute quoted,
 * every ampersand an entity. Anything else throws, which is how tests hold the reports to be well-formed.
 */
export interface Element {
  name: string;
  attributes: Record<string, string>;
  children: (Element | string)[];
}

const entities: Record<string, string> = { '&amp;': '&', '&lt;': '<', '&gt;': '>', '&quot;': '"', '&#39;': "'" };
const piece = /<!DOCTYPE html>|<\/([a-zA-Z][\w-]*)>|<([a-zA-Z][\w-]*)((?:\s+[\w:-]+="[^"<]*")*)\s*(\/?)>|[^<]+/y;

export function parseMarkup(text: string): Element {
  const root: Element = { name: '#root', attributes: {}, children: [] };
  const open = [root];
  piece.lastIndex = 0;
  while (piece.lastIndex < text.length) {
    const at = piece.lastIndex;
    const match = piece.exec(text);
    if (!match) throw new Error(`not well-formed at ${at}: ${text.slice(at, at + 120)}`);
    const [whole, closed, opened, attributes = '', selfClosed] = match;
    if (closed) {
      const element = open.pop();
      if (element?.name !== closed) throw new Error(`</${closed}> closes <${element?.name}> at ${at}`);
    } else if (opened) {
      const element: Element = { name: opened, attributes: parseAttributes(attributes), children: [] };
      open.at(-1)!.children.push(element);
      if (!selfClosed) open.push(element);
    } else if (!whole.startsWith('<!')) {
      open.at(-1)!.children.push(open.at(-1)!.name === 'style' ? whole : decodeEntities(whole));
    }
  }
  if (open.length !== 1) throw new Error(`<${open.at(-1)!.name}> is never closed`);
  return root;
}

export function elementsNamed(element: Element, name: string): Element[] {
  return element.children.flatMap((child) =>
    typeof child === 'string' ? [] : [...(child.name === name ? [child] : []), ...elementsNamed(child, name)],
  );
}

export function textOf(element: Element): string {
  return element.children.map((child) => (typeof child === 'string' ? child : child.name === 'style' ? '' : textOf(child))).join('');
}

function parseAttributes(text: string): Record<string, string> {
  return Object.fromEntries([...text.matchAll(/([\w:-]+)="([^"]*)"/g)].map(([, name, value]) => [name!, decodeEntities(value!)]));
}

function decodeEntities(text: string): string {
  return text.replace(/&[^;\s]*;?/g, (entity) => {
    const character = entities[entity];
    if (character === undefined) throw new Error(`unknown entity ${entity}`);
    return character;
  });
}
