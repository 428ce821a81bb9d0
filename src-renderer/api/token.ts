/**
 * The browser host's key. It arrives in the address's fragment (never sent to a server), moves to the tab's session storage and is
 * removed from the address bar, so that copying the address does not give it away. Must run before the router reads the fragment.
 */
const storageKey = 'roundoff.token';

interface TokenPlace {
  location: { hash: string; pathname: string; search: string };
  history: { replaceState(data: unknown, unused: string, url: string): void };
  sessionStorage: { getItem(key: string): string | null; setItem(key: string, value: string): void };
}

/** The key from the fragment, or the one this tab already has. Null when there is neither. */
export function takeToken(place: TokenPlace): string | null {
  const match = /^#token=([\w-]+)$/.exec(place.location.hash);
  if (match?.[1]) {
    place.sessionStorage.setItem(storageKey, match[1]);
    place.history.replaceState(null, '', place.location.pathname + place.location.search);
  }
  return place.sessionStorage.getItem(storageKey);
}
