/**
 * Certificates that the operating system trusts, beside those that Node brings: networks that inspect traffic, as of universities and companies,
 * sign with their own.
 */
import tls from 'node:tls';

let areTrusted = false;

/** For every connection this process makes from now on. */
export function trustSystemCertificates(): void {
  if (areTrusted) return;
  areTrusted = true;
  tls.setDefaultCACertificates([...new Set([...tls.getCACertificates('default'), ...tls.getCACertificates('system')])]);
}
