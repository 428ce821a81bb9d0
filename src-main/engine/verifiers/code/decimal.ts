/** Numbers as Python's `Decimal` reads and compares them: exactly, whatever their length. */

/** A text that is equal for equal numbers; null for what is no number, or equals nothing (NaN). */
export function decimalKey(text: string): string | null {
  const match = /^([+-]?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d{1,18}))?$/.exec(text.replaceAll('_', ''));
  if (!match) return /^[+-]?inf(inity)?$/i.test(text) ? (text.startsWith('-') ? '-inf' : 'inf') : null;
  const [, sign, whole = '', fraction = '', exponent = '0'] = match;
  if (whole === '' && fraction === '') return null;
  const all = `${whole}${fraction}`.replace(/^0+/, '');
  const digits = all.replace(/0+$/, '');
  if (digits === '') return '0';
  return `${sign === '-' ? '-' : ''}${digits}e${BigInt(exponent) - BigInt(fraction.length) + BigInt(all.length - digits.length)}`;
}
