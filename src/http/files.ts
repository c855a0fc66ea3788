import { hash } from 'node:crypto';
import { posix } from 'node:path';
import { type Access, type Route, route } from './route.ts';

/** A file as it is served. */
export interface ServedFile {
  readonly bytes: Uint8Array;
  readonly contentType: string;
  /** Strong: another content has another one (RFC 9110, section 8.8.3). */
  readonly etag: string;
  readonly cacheControl: string;
}

/** Path below the place where the files are served → file. */
export type Manifest = Readonly<Record<string, ServedFile>>;

/** Content types by the end of a name. What is not here is not served: a guess would be up to the browser. */
const CONTENT_TYPES: Readonly<Record<string, string>> = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.ico': 'image/vnd.microsoft.icon',
  '.js': 'text/javascript; charset=utf-8',
  '.json': 'application/json; charset=utf-8',
  '.map': 'application/json; charset=utf-8',
  '.png': 'image/png',
  '.svg': 'image/svg+xml',
  '.txt': 'text/plain; charset=utf-8',
  '.webmanifest': 'application/manifest+json',
  '.woff2': 'font/woff2',
};

/** Segments of letters that mean nothing to a router, none of them `.` or `..`. */
const NAME = /^(?!.*(?:^|\/)\.\.?(?:\/|$))[\w.-]+(?:\/[\w.-]+)*$/;
/**
 * A manifest of files that are in memory.
 * @param isFinal whether another content would have another name, as bundlers name files by a hash of their content: such a
 * file is never asked for again. All others are asked for at each use, and answered 304
 * @throws Error for a name that could not be a path as it is, or whose content type is not known
 */
export function manifestOf(
  files: Readonly<Record<string, Uint8Array>>,
  isFinal: (name: string) => boolean = () => false,
): Manifest {
  return Object.fromEntries(Object.entries(files).map(([name, bytes]) => [name, served(name, bytes, isFinal(name))]));
}

function served(name: string, bytes: Uint8Array, isFinal: boolean): ServedFile {
  const contentType = CONTENT_TYPES[posix.extname(name)];
  if (!NAME.test(name) || contentType === undefined) throw new Error(`a file of this name cannot be served: ${name}`);
  const etag = `"${hash('sha256', bytes, 'base64url')}"`;
  const cacheControl = isFinal ? 'public, max-age=31536000, immutable' : 'no-cache';
  return { bytes, contentType, etag, cacheControl };
}

interface Serving {
  /** Path of the folder, without a slash at its end. */
  readonly below: `/${string}`;
  /** All files count as this one operation in logs and metrics. */
  readonly operation: string;
  readonly summary: string;
  readonly access: Access;
  /** Sent with every file: a content security policy, for example. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** A route for each file of a manifest. A path that was not written here opens nothing. */
export const fileRoutes = (manifest: Manifest, { below, operation, summary, access, headers = {} }: Serving): Route[] =>
  Object.entries(manifest).map(([name, { bytes, contentType, etag, cacheControl }]) =>
    route({
      operation,
      summary,
      at: `GET ${below}/${name}`,
      access,
      answers: { 200: 'bytes', 304: 'nothing' },
      handle: () => ({
        status: 200,
        body: bytes,
        contentType,
        etag,
        headers: { ...headers, 'Cache-Control': cacheControl },
      }),
    }),
  );
