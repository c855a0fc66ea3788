import { randomUUID } from 'node:crypto';
import type { KeySlot, ResourceId } from '../../../src/callers.ts';
import { ServiceError } from '../../../src/errors.ts';
import { DIRECTORY_TENANT } from '../../../src/planes/sign-in/directory.ts';
import {
  ALICE,
  APP,
  applicationToken,
  CLIENTS,
  operatorStatus,
  SERVICE,
  userToken,
  withBearer,
} from '../dev-tokens.ts';
import type { Answer } from '../http.ts';
import { accessKeyOf, givenResource, inPath } from '../resources.ts';
import { API_VERSION, type TestServer } from '../server.ts';

/** Somebody who gets tokens, and what takes that away. */
export interface Subject {
  /** @returns a token, or undefined when none is given */
  issue(): Promise<string | undefined>;
  /** Ends the tokens. May be repeated. @returns the status of the answer */
  end(): Promise<number>;
}

const PREVIEW = 'api-version=2025-03-02-preview';
/** Of the user of {@link givenExchange}. */
export const ASSIGNMENT = {
  objectId: ALICE.objectId,
  at: `/access/entra/assignments/${ALICE.objectId}?${PREVIEW}`,
} as const;
export const ASSIGNMENTS = `/access/entra/assignments?${PREVIEW}`;
const TRUST = '/-/trusts/dev';

const tokenIn = ({ body }: Answer): string | undefined => body?.token ?? body?.accessToken?.token;

/** The status that a call of the domain would be answered with. */
export async function statusOf(work: Promise<unknown>): Promise<number> {
  try {
    await work;
    return 204;
  } catch (cause) {
    if (!(cause instanceof ServiceError)) throw cause;
    return cause.shape.status;
  }
}

/** A user of a fresh resource. The custom id has issuing write a row, so that it takes a turn in the queue of writes. */
async function givenUser(server: TestServer, slot: KeySlot = 'primary') {
  const { id } = await givenResource(server, `r-${randomUUID()}`);
  const key = accessKeyOf(server, slot, id);
  const made = await server.asService('POST /identities', { customId: 'somebody' }, { key });
  const path = inPath(made.body.identity.id);
  const issue = async () =>
    tokenIn(await server.asService(`POST ${path}/:issueAccessToken`, { scopes: ['chat'] }, { key }));
  const end = async (at: string, body?: object) => (await server.asService(at, body, { key })).status;
  return { id, path, issue, end };
}

const hostOf = (server: TestServer, id: ResourceId) => ({
  Host: `${server.server.resources.get(id).resource.name}.${server.host}`,
});

/** A user of the development directory whom a fresh resource lets in. */
export async function givenExchange(server: TestServer) {
  await operatorStatus(server, `POST ${TRUST}/:enable`);
  const { id, key } = await givenResource(server, `r-${randomUUID()}`);
  const call = async (at: string, body?: object) => (await server.asService(at, body, { key })).status;
  const assign = (clientIds: readonly string[]) =>
    call(`PUT ${ASSIGNMENT.at}`, { principalType: 'user', tenantId: DIRECTORY_TENANT, clientIds });
  await assign([APP]);
  const presented = await userToken(server, ALICE, `${CLIENTS}/Chat`);
  const at = `POST /access/entra/:exchangeAccessToken?${PREVIEW}`;
  const issue = async () => tokenIn(await withBearer(server, presented, at, '{}', hostOf(server, id)));
  return {
    issue,
    call,
    assign,
    deleteUser: (user: string) => call(`DELETE ${inPath(user)}`),
    remove: () => call(`DELETE ${ASSIGNMENT.at}`),
  };
}

/** A service that a trust lets in, and a user of its resource. */
async function givenTrusted(server: TestServer) {
  await operatorStatus(server, `POST ${TRUST}/:enable`);
  const { id, path } = await givenUser(server);
  const proof = await applicationToken(server, SERVICE);
  const at = `POST ${path}/:issueAccessToken?api-version=${API_VERSION}`;
  return async () => tokenIn(await withBearer(server, proof, at, { scopes: ['chat'] }, hostOf(server, id)));
}

/** After these no token is given any more, so none that was asked for meanwhile may work. */
export const FOR_GOOD = {
  async 'deleting the identity'(server) {
    const { issue, end, path } = await givenUser(server);
    return { issue, end: () => end(`DELETE ${path}`) };
  },
  async 'regenerating the access key'(server) {
    const { issue, id } = await givenUser(server, 'secondary');
    return { issue, end: () => statusOf(server.server.resources.regenerateKey(id, 'secondary')) };
  },
  async 'deleting the resource'(server) {
    const { issue, id } = await givenUser(server);
    return { issue, end: () => statusOf(server.server.resources.delete(id)) };
  },
  async 'disabling the trust'(server) {
    return { issue: await givenTrusted(server), end: () => operatorStatus(server, `POST ${TRUST}/:disable`) };
  },
  async 'disabling the trust of an exchange'(server) {
    const { issue } = await givenExchange(server);
    return { issue, end: () => operatorStatus(server, `POST ${TRUST}/:disable`) };
  },
  async 'removing the assignment'(server) {
    const { issue, remove } = await givenExchange(server);
    return { issue, end: remove };
  },
  async 'giving the assignment to another application'(server) {
    const { issue, assign } = await givenExchange(server);
    return { issue, end: () => assign([DIRECTORY_TENANT]) };
  },
} satisfies Readonly<Record<string, (server: TestServer) => Promise<Subject>>>;

/** After these tokens are given again. */
export const FOR_NOW = {
  async 'revoking the tokens of the identity'(server: TestServer) {
    const { issue, end, path } = await givenUser(server);
    return { issue, end: () => end(`POST ${path}/:revokeAccessTokens`) };
  },
  async 'a bound in the future'(server: TestServer) {
    const { issue, end, path } = await givenUser(server);
    const at = `PATCH ${path}?api-version=2020-07-20-preview1`;
    return { issue, end: () => end(at, { tokensValidFrom: '2040-01-01T00:00:00Z' }) };
  },
  async 'killing the signing key'(server: TestServer) {
    const { issue } = await givenUser(server);
    const { kid } = server.server.keys.active;
    return { issue, end: () => statusOf(server.server.keys.kill(kid)) };
  },
} satisfies Readonly<Record<string, (server: TestServer) => Promise<Subject>>>;
