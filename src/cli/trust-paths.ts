import type { Grant, TrustDefinition } from '../trusts/trust.ts';

/** A trust, as the server shows it. */
export interface ShownTrust extends TrustDefinition {
  readonly id: string;
  readonly name: string;
  readonly enabled: boolean;
  readonly grants: readonly Grant[];
}

/** Target of a request about trusts. @param name one of them @param rest what follows, such as `/:disable` */
export const trustPath = (name?: string, rest = ''): string =>
  `/-/trusts${name === undefined ? '' : `/${encodeURIComponent(name)}`}${rest}`;

export const grantPath = (trust: string, name: string): string =>
  trustPath(trust, `/grants/${encodeURIComponent(name)}`);
