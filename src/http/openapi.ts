import { VERSION } from '../version.ts';
import type { Api, Dialect } from './dialect.ts';
import type { Access, BodyKind, Route } from './route.ts';
import { text } from './schema.ts';

type Json = Readonly<Record<string, unknown>>;

/** An OpenAPI 3.1 document, as far as readers of ours look into it. */
export interface ApiDocument {
  readonly openapi: string;
  /** Path as the protocol writes it → method in lower case → operation. */
  readonly paths: { readonly [path: string]: { readonly [method: string]: ApiOperation } };
  readonly [member: string]: unknown;
}

export interface ApiOperation {
  readonly operationId: string;
  readonly summary: string;
  /** The API that it belongs to. */
  readonly tags: readonly [string];
  readonly parameters: readonly Json[];
  readonly security: readonly { readonly [scheme: string]: readonly string[] }[];
  readonly requestBody?: { readonly required: boolean; readonly content: Json };
  /** Status, or `default` for every error in the envelope → answer. */
  readonly responses: { readonly [status: string]: Json };
}

const MEDIA_TYPES: Readonly<Record<BodyKind, string>> = {
  json: 'application/json',
  form: 'application/x-www-form-urlencoded',
};

const SECURITY_SCHEMES = {
  accessKey: {
    type: 'http',
    scheme: 'HMAC-SHA256',
    description:
      'The request signed with an access key of the resource: `SignedHeaders=x-ms-date;host;x-ms-content-sha256&Signature=…`. The signature covers the method, the path with query, the values of the three headers and, through `x-ms-content-sha256`, the body.',
  },
  userToken: {
    type: 'http',
    scheme: 'bearer',
    bearerFormat: 'JWT',
    description: 'An access token of a user. Role names are the capabilities that its scopes must grant.',
  },
  operatorKey: { type: 'http', scheme: 'bearer', description: 'The operator key of this server.' },
  trustedToken: {
    type: 'http',
    scheme: 'bearer',
    bearerFormat: 'JWT',
    description:
      'An access token from an issuer that a trust names. It belongs to a principal that has a grant, or, for exchanges, to a user.',
  },
};

/** How a caller proves to be one: alternatives, each a scheme with the capabilities it must carry. */
const SECURITY: Readonly<Record<Access['caller'], (access: Access) => ApiOperation['security']>> = {
  nobody: () => [],
  service: () => [{ accessKey: [] }, { trustedToken: [] }],
  operator: () => [{ operatorKey: [] }, { trustedToken: [] }],
  serviceOrOperator: () => [{ accessKey: [] }, { operatorKey: [] }, { trustedToken: [] }],
  entraUser: () => [{ trustedToken: [] }],
  user: (access) => [
    { userToken: access.caller === 'user' && access.requires !== 'anyScope' ? [access.requires] : [] },
  ],
};

const HEADERS = {
  'MS-CV': { description: 'Correlation vector, also in the log.', required: true, schema: text().json },
  'x-ms-client-request-id': { description: 'The value from the request, if it had one.', schema: text().json },
  'api-supported-versions': {
    description:
      'The api-versions of the operation. Errors that are found before the operation runs do not have this header.',
    schema: text().json,
  },
};

const headers = (versions: Route['versions']): Json => ({
  'MS-CV': { $ref: '#/components/headers/MS-CV' },
  'x-ms-client-request-id': { $ref: '#/components/headers/x-ms-client-request-id' },
  ...(versions && { 'api-supported-versions': { $ref: '#/components/headers/api-supported-versions' } }),
});

/**
 * Describes APIs by the OpenAPI Specification 3.1, whose schemas are JSON Schema 2020-12 as ours are.
 * @param common the dialect of errors that are found before the route is known
 */
export function apiDocument(apis: readonly Api[], { errors: common }: Pick<Dialect, 'errors'>): ApiDocument {
  const paths: Record<string, Record<string, ApiOperation>> = {};
  for (const api of apis) {
    for (const route of api.routes) {
      const [method = '', path = ''] = route.at.split(' ');
      paths[path] = { ...paths[path], [method.toLowerCase()]: operation(route, path, api, common.name) };
    }
  }
  const errors = new Map([common, ...apis.map(({ dialect }) => dialect.errors)].map((error) => [error.name, error]));
  return {
    openapi: '3.1.1',
    info: {
      title: 'Linarite',
      version: VERSION,
      summary: 'Compatible with the Azure Communication Services API.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/' }],
    tags: apis.map(({ name }) => ({ name })),
    paths,
    components: {
      schemas: Object.assign({}, ...[...errors.values()].map(({ schemas }) => schemas)),
      headers: HEADERS,
      parameters: {
        ClientRequestId: {
          name: 'x-ms-client-request-id',
          in: 'header',
          description: 'A name that the caller gives the request; the answer and the log repeat it.',
          schema: { type: 'string', pattern: '^[ -~]{1,128}$' },
        },
      },
      responses: Object.fromEntries(
        [...errors.values()].map(({ name, description }) => [
          name,
          {
            description,
            headers: headers(undefined),
            content: { 'application/json': { schema: eitherOf(name, common.name) } },
          },
        ]),
      ),
      securitySchemes: SECURITY_SCHEMES,
    },
  };
}

function operation(
  { operation, summary, versions, versionMayBeMissing, access, query = {}, body, answers }: Route,
  path: string,
  { name: tag, dialect }: Api,
  commonError: string,
): ApiOperation {
  return {
    operationId: operation,
    summary,
    tags: [tag],
    parameters: [
      ...[...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({
        name,
        in: 'path',
        required: true,
        schema: { type: 'string', minLength: 1 },
      })),
      ...(versions
        ? [
            {
              name: 'api-version',
              in: 'query',
              required: !versionMayBeMissing,
              description:
                'A version newer than all known ones is served as the newest known one, if that is in this list.',
              schema: { type: 'string', enum: versions },
            },
          ]
        : []),
      ...Object.entries(query).map(([name, { json }]) => parameter(name, json)),
      { $ref: '#/components/parameters/ClientRequestId' },
    ],
    security: SECURITY[access.caller](access),
    ...(body && { requestBody: requestBody(body) }),
    responses: {
      ...Object.fromEntries(
        Object.entries(answers).map(([status, answer]) => [
          status,
          response(Number(status), answer, versions, commonError),
        ]),
      ),
      default: { $ref: `#/components/responses/${dialect.errors.name}` },
    },
  };
}

function parameter(name: string, { description, ...schema }: Json): Json {
  return { name, in: 'query', ...(description !== undefined && { description }), schema };
}

function requestBody({ schema, kind }: NonNullable<Route['body']>): NonNullable<ApiOperation['requestBody']> {
  const { required } = schema.json as { required?: readonly string[] };
  return { required: (required ?? []).length > 0, content: { [MEDIA_TYPES[kind]]: { schema: schema.json } } };
}

function response(
  status: number,
  answer: Route['answers'][number],
  versions: Route['versions'],
  commonError: string,
): Json {
  const what = { description: status < 300 ? 'Done.' : 'Refused.', headers: headers(versions) };
  if (answer === 'nothing') return what;
  if (answer === 'bytes') return { ...what, content: { '*/*': {} } };
  if (answer === 'text') return { ...what, content: { '*/*': { schema: { type: 'string' } } } };
  // Where an operation has errors of its own shape, those that are found before it runs come in the common one.
  const schema = status < 400 ? answer.json : { anyOf: [answer.json, reference(commonError)] };
  return { ...what, content: { 'application/json': { schema } } };
}

const reference = (name: string): Json => ({ $ref: `#/components/schemas/${name}` });

/** The errors of a dialect. Those that are found before its route is known come in the common shape. */
const eitherOf = (name: string, common: string): Json =>
  name === common ? reference(name) : { anyOf: [reference(name), reference(common)] };
