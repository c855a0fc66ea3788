import { Signer } from '../../../bench/load.ts';
import { inPath } from '../resources.ts';
import { API_VERSION } from '../server.ts';

const QUERY = `?api-version=${API_VERSION}`;

/** Signed requests of one resource, as text. */
export class Requests {
  readonly #signer: Signer;
  /** A signature is good for minutes, and making one is work that the loaded server's cores have better use for. */
  readonly #issuing = new Map<string, { text: string; until: number }>();

  constructor(port: number, key: string) {
    this.#signer = new Signer(port, key);
  }

  create(withToken = false): string {
    return this.#signer.post(`/identities${QUERY}`, withToken ? '{"createTokenWithScopes":["chat"]}' : '{}');
  }

  issue(id: string): string {
    const known = this.#issuing.get(id);
    if (known && known.until > Date.now()) return known.text;
    const text = this.#signer.post(`${inPath(id)}/:issueAccessToken${QUERY}`, '{"scopes":["chat","voip"]}');
    this.#issuing.set(id, { text, until: Date.now() + 60_000 });
    return text;
  }

  /** Makes assignments of these users, or (undefined) removes them. */
  patchAssignments(objectIds: readonly string[], assignment: object | undefined): string {
    const body = Object.fromEntries(objectIds.map((id) => [id, assignment ?? null]));
    return this.#signer.patch('/access/entra/assignments?api-version=2025-03-02-preview', JSON.stringify(body));
  }

  revoke(id: string): string {
    return this.#signer.post(`${inPath(id)}/:revokeAccessTokens${QUERY}`, '');
  }
}
