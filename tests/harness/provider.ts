import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import https from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { certificateNames } from '../../src/certificates/certificate-names.ts';
import { type MadeCertificates, makeCertificates } from '../../src/certificates/make-certificates.ts';
import type { TrustWish } from '../../src/trusts/trust.ts';

const rsa = (modulusLength: number, publicExponent = 65537) =>
  generateKeyPairSync('rsa', { modulusLength, publicExponent });

/** Made once per process. Only some of them are in the key set, see {@link keySetOf}. */
export const KEYS = {
  main: rsa(2048),
  /** What the provider signs with after {@link Provider.rotate}. */
  next: rsa(2048),
  ec: generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  weak: rsa(1024),
  /** Of the exponent 3. */
  cube: rsa(2048, 3),
  /** Nobody publishes it. */
  unpublished: rsa(2048),
} satisfies Record<string, { publicKey: KeyObject; privateKey: KeyObject }>;

export type KeyName = keyof typeof KEYS;

export const TENANT = '72f988bf-86f1-41af-91ab-2d7cd011db47';
export const SECOND_TENANT = '33e01921-4d64-4f8c-a055-5bdaffd5e33d';
export const APPLICATION = 'a1d3b6f0-5c4e-4c0b-9b67-2f3f1f0e7a11';

/** How a provider behaves. */
export type Behaviour =
  | 'well'
  /** Cuts the connection. */
  | 'down'
  | 'failing'
  | 'garbage'
  | 'list'
  /** Sends headers and then nothing. */
  | 'silent'
  /** A byte every few milliseconds, without an end. */
  | 'trickling'
  /** To a place of its own that would answer well. */
  | 'redirecting'
  /** JSON without an end. */
  | 'huge';

type Document = Record<string, unknown>;

/** An identity provider on loopback, in the manner of Entra: one host, one key set, an issuer per tenant. */
export class Provider {
  behaviour: Behaviour = 'well';
  /** Paths asked for, in order. */
  readonly fetches: string[] = [];
  /** Headers of the last request. */
  headers: http.IncomingHttpHeaders = {};
  /** Changes what the documents say. */
  editMetadata: (document: Document) => Document = (document) => document;
  editKeySet: (document: Document) => Document = (document) => document;
  /** Undefined: plain HTTP. */
  readonly certificates: MadeCertificates | undefined;
  readonly #server: http.Server | https.Server;
  readonly #sockets = new Set<Socket>();
  #signing: 'main' | 'next' = 'main';

  private constructor(certificates: MadeCertificates | undefined) {
    this.certificates = certificates;
    this.#server = certificates
      ? https.createServer({ cert: certificates.certPem, key: certificates.keyPem })
      : http.createServer();
    this.#server.on('request', (request, response) => this.#answer(request, response));
    this.#server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
      socket.on('error', () => undefined);
    });
  }

  /** @param secure with a certificate of an authority of its own, instead of plain HTTP */
  static async start({ secure = false } = {}): Promise<Provider> {
    const made = secure
      ? await makeCertificates(certificateNames([]), { fromMs: Date.now() - 60_000, untilMs: Date.now() + 3_600_000 })
      : undefined;
    const provider = new Provider(made);
    provider.#server.listen(0, '127.0.0.1');
    await once(provider.#server, 'listening');
    return provider;
  }

  async stop(): Promise<void> {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await once(this.#server, 'close');
  }

  get origin(): string {
    const { port } = this.#server.address() as AddressInfo;
    return `${this.certificates ? 'https' : 'http'}://localhost:${port}`;
  }

  get metadata(): string {
    return `${this.origin}/common/v2.0/.well-known/openid-configuration`;
  }

  /** The key that new tokens are signed with. */
  get signing(): 'main' | 'next' {
    return this.#signing;
  }

  /** After this, tokens are signed with another key, and the former one is no longer published. */
  rotate(): void {
    this.#signing = 'next';
  }

  /** Issuers as Entra spells them in tokens of version 2 and 1. */
  issuer(tenant = TENANT): string {
    return `${this.origin}/${tenant}/v2.0`;
  }
  issuerOfVersion1(tenant = TENANT): string {
    return `${this.origin}/sts/${tenant}/`;
  }

  /** A trust in this provider that accepts `GOOD_TOKENS`. */
  wish(): TrustWish {
    return {
      issuers: [this.issuer('{tenantId}'), this.issuerOfVersion1('{tenantId}')],
      metadata: this.metadata,
      tenants: [TENANT, SECOND_TENANT],
      applications: [APPLICATION],
      algorithms: ['RS256', 'ES256'],
      privateAddresses: true,
      certificateAuthority: this.certificates?.caPem,
    };
  }

  #answer(request: http.IncomingMessage, response: http.ServerResponse): void {
    const path = request.url ?? '';
    this.fetches.push(path);
    this.headers = request.headers;
    const answers: Record<Behaviour, () => unknown> = {
      well: () => this.#document(path, response),
      down: () => request.socket.destroy(),
      failing: () => response.writeHead(500).end('{"keys":[]}'),
      garbage: () => response.end('<html>not JSON</html>'),
      list: () => response.end('[]'),
      silent: () => response.writeHead(200).flushHeaders(),
      trickling: () => trickle(response),
      redirecting: () =>
        path.startsWith('/moved')
          ? this.#document(path.slice('/moved'.length), response)
          : response.writeHead(302, { Location: `${this.origin}/moved${path}` }).end(),
      huge: () => pour(response),
    };
    answers[this.behaviour]();
  }

  #document(path: string, response: http.ServerResponse): void {
    const documents: Record<string, () => Document> = {
      [new URL(this.metadata).pathname]: () =>
        this.editMetadata({ issuer: this.issuer('{tenantid}'), jwks_uri: `${this.origin}/common/keys` }),
      '/common/keys': () => this.editKeySet(keySetOf(this.#signing)),
    };
    const document = documents[path]?.();
    response.writeHead(document ? 200 : 404, { 'Content-Type': 'application/json' });
    response.end(JSON.stringify(document ?? {}));
  }
}

/** Upper case, so that a verifier that does not care is found out. */
export const kidOf = (name: KeyName): string => name.toUpperCase();

/** The published set. Several of its keys must not be used, though tokens may be signed with them. */
export function keySetOf(signing: 'main' | 'next'): Document {
  const jwk = (name: KeyName, more: object) => ({ ...KEYS[name].publicKey.export({ format: 'jwk' }), ...more });
  return {
    keys: [
      jwk(signing, { kid: kidOf(signing), use: 'sig', x5t: 'x', x5c: ['MIIC'] }),
      jwk('ec', { kid: kidOf('ec'), use: 'sig', alg: 'ES256' }),
      jwk('main', { kid: 'encryption', use: 'enc' }),
      jwk('main', { kid: 'wrapping', key_ops: ['wrapKey'] }),
      jwk('main', { kid: 'rs512', use: 'sig', alg: 'RS512' }),
      jwk('main', { use: 'sig' }),
      jwk('weak', { kid: kidOf('weak'), use: 'sig' }),
      jwk('cube', { kid: kidOf('cube'), use: 'sig' }),
      { kty: 'EC', crv: 'secp256k1', kid: 'other curve', x: 'AA', y: 'AA' },
      { kty: 'new', kid: 'new' },
    ],
  };
}

function trickle(response: http.ServerResponse): void {
  response.writeHead(200);
  response.write('{"keys":[');
  const timer = setInterval(() => response.write(' '), 5);
  response.on('close', () => clearInterval(timer));
}

/** At most this much, so that a reader without a limit ends, too. */
const MOST_POURED = 64 * 1024 * 1024;

function pour(response: http.ServerResponse): void {
  response.writeHead(200);
  const chunk = Buffer.alloc(64 * 1024, '[');
  let poured = 0;
  const more = (): void => {
    while (poured < MOST_POURED) {
      poured += chunk.length;
      if (!response.write(chunk)) return void response.once('drain', more);
    }
    response.end();
  };
  response.on('error', () => undefined);
  more();
}
