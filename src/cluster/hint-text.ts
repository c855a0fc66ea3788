import { isStreamName, type Moved } from './fact.ts';

/** Something that travels in the hint itself, and may be lost. */
export interface Whisper {
  readonly stream: string;
  readonly text: string;
}

/** What one node tells the others in one message. */
export interface HintMessage {
  /** The node that tells. */
  readonly from: string;
  readonly moved: readonly Moved[];
  readonly whispers: readonly Whisper[];
}

/** NOTIFY takes less than 8,000 bytes. */
export const MOST_MESSAGE_BYTES = 7900;

/** Bytes of a whisper in JSON, so that a message has room for it. */
const MOST_WHISPER_BYTES = 2048;

/** Whether a whisper is small enough to be carried. */
export const isCarried = ({ stream, text }: Whisper): boolean =>
  isStreamName(stream) && Buffer.byteLength(JSON.stringify(text)) <= MOST_WHISPER_BYTES;

/** Writes hints as messages, each within {@link MOST_MESSAGE_BYTES}. */
export function messagesOf(from: string, moved: readonly Moved[], whispers: readonly Whisper[]): string[] {
  const entries = [
    ...moved.map(({ stream, position }) => JSON.stringify([stream, position])),
    ...whispers.map(({ stream, text }) => JSON.stringify([stream, text])),
  ];
  const messages: string[] = [];
  const begin = JSON.stringify(from);
  let parts = [begin];
  let bytes = begin.length + 2;
  for (const entry of entries) {
    const size = Buffer.byteLength(entry) + 1;
    if (bytes + size > MOST_MESSAGE_BYTES) {
      messages.push(`[${parts}]`);
      parts = [begin];
      bytes = begin.length + 2;
    }
    parts.push(entry);
    bytes += size;
  }
  return parts.length > 1 ? [...messages, `[${parts}]`] : messages;
}

/** Reads a message, of which nothing is trusted. @returns undefined for what is no message of ours */
export function messageFrom(text: string): HintMessage | undefined {
  const parts = listFrom(text);
  const [from, ...entries] = parts ?? [];
  if (typeof from !== 'string') return undefined;
  const moved: Moved[] = [];
  const whispers: Whisper[] = [];
  for (const entry of entries) {
    const [stream, value] = Array.isArray(entry) ? (entry as unknown[]) : [];
    if (typeof stream !== 'string' || !isStreamName(stream)) continue;
    if (Number.isSafeInteger(value) && (value as number) > 0) moved.push({ stream, position: value as number });
    else if (typeof value === 'string') whispers.push({ stream, text: value });
  }
  return { from, moved, whispers };
}

function listFrom(text: string): unknown[] | undefined {
  if (Buffer.byteLength(text) > MOST_MESSAGE_BYTES) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return Array.isArray(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
