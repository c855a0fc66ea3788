import type { TrustDefinition } from './trust.ts';

/** Fills `{endpoint}` and, where it is known, `{tenantId}` into a configured text. */
export function fillIn(
  text: string,
  { endpoint, tenantId }: { endpoint: string; tenantId?: string | undefined },
): string {
  const filled = text.replaceAll('{endpoint}', endpoint);
  return tenantId === undefined ? filled : filled.replaceAll('{tenantId}', tenantId);
}

/**
 * Whether a trust believes an issuer, by its exact value.
 * @returns the tenant that the issuer stands for, where the trust's issuers have `{tenantId}` in them
 */
export function issuerIn(
  { issuers, tenants }: Pick<TrustDefinition, 'issuers' | 'tenants'>,
  issuer: string,
  endpoint: string,
): { tenantId: string | undefined } | undefined {
  for (const pattern of issuers) {
    const filled = fillIn(pattern, { endpoint });
    if (filled === issuer && !filled.includes('{tenantId}')) return { tenantId: undefined };
    const at = filled.indexOf('{tenantId}');
    if (at === -1) continue;
    // A GUID has 36 characters, and where it would have to stand is known: no need to try all tenants.
    const tenantId = issuer.slice(at, at + 36);
    if (tenants.includes(tenantId) && fillIn(filled, { endpoint, tenantId }) === issuer) return { tenantId };
  }
  return undefined;
}
