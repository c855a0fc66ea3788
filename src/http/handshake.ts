import { ServiceError } from '../errors.ts';

type Header = (name: string) => readonly string[];

/** 16 bytes in base64. */
const KEY = /^[+/0-9A-Za-z]{22}==$/;
/** Names of subprotocols: tokens (RFC 9110, section 5.6.2), comma between. */
const PROTOCOLS = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:[ \t]*,[ \t]*[!#$%&'*+.^_`|~0-9A-Za-z-]+)*$/;
const PROTOCOLS_MOST = 16;

/**
 * What is wrong with a request to go on with WebSocket frames (RFC 6455, section 4.2.1); undefined for nothing. Every header
 * is there once at most, so that nobody has to choose between two. Extensions may be offered; none is taken.
 */
export function handshakeFault(header: Header): ServiceError | undefined {
  const [upgrade, ...others] = header('upgrade');
  if (others.length > 0 || upgrade?.toLowerCase() !== 'websocket') return malformed('Upgrade must be websocket');
  const [key = '', ...keys] = header('sec-websocket-key');
  if (keys.length > 0 || !KEY.test(key)) return malformed('Sec-WebSocket-Key must be 16 bytes in base64, sent once');
  const [version, ...versions] = header('sec-websocket-version');
  if (versions.length > 0 || version !== '13') return new ServiceError('UpgradeRequired', { detail: 'version' });
  const [protocols, ...more] = header('sec-websocket-protocol');
  if (more.length > 0 || (protocols !== undefined && !areProtocols(protocols)))
    return malformed('Sec-WebSocket-Protocol must be a list of tokens, each once');
  return undefined;
}

function areProtocols(value: string): boolean {
  if (value.length > 1024 || !PROTOCOLS.test(value)) return false;
  const names = protocolNames(value);
  return names.length <= PROTOCOLS_MOST && new Set(names).size === names.length;
}

/** The subprotocols that a client offers, as it prefers them. */
export const protocolNames = (value: string): string[] => value.split(',').map((name) => name.trim());

const malformed = (detail: string): ServiceError => new ServiceError('RequestMalformed', { detail });
