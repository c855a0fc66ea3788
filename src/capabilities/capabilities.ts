import { ServiceError } from '../errors.ts';
import { type Capability, CHAT, type Grant, SCOPES, type Scope, VOIP } from './tables.ts';

/** Capability → scope → grant, from both tables. Maps, because property look-ups would also find `constructor`. */
const GRANTS = new Map<string, ReadonlyMap<string, Grant>>(
  [CHAT, VOIP].flatMap(({ scopes, grants }) =>
    Object.entries(grants).map(
      ([capability, row]) =>
        [capability, new Map(scopes.map((scope, column) => [scope, row[column] ?? 'denied']))] as const,
    ),
  ),
);

export const CAPABILITIES = [...GRANTS.keys()] as Capability[];

export const isScope = (text: string): text is Scope => (SCOPES as readonly string[]).includes(text);

/** What one scope says about one capability; a scope of the other table says no. */
export const grantOf = (scope: Scope, capability: Capability): Grant => GRANTS.get(capability)?.get(scope) ?? 'denied';

/** The best that any of the scopes says. `byRole` counts as more than `denied`: the operation asks the room. */
export function bestGrant(scopes: readonly Scope[], capability: Capability): Grant {
  const grants = scopes.map((scope) => grantOf(scope, capability));
  return grants.includes('granted') ? 'granted' : grants.includes('byRole') ? 'byRole' : 'denied';
}

/** Every capability that the scopes grant, or leave to a role, in the order of the tables. */
export const capabilitiesOf = (scopes: readonly Scope[]): Capability[] =>
  CAPABILITIES.filter((capability) => bestGrant(scopes, capability) !== 'denied');

/** Insists on a capability. @throws ServiceError `CapabilityMissing` */
export function requireCapability(scopes: readonly Scope[], capability: Capability): void {
  if (bestGrant(scopes, capability) !== 'denied') return;
  const wanted = SCOPES.filter((scope) => grantOf(scope, capability) !== 'denied');
  throw new ServiceError('CapabilityMissing', {
    reason: 'scope.missing',
    detail: `${capability} needs one of ${wanted.join(', ')}`,
  });
}
