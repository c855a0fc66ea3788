/** Something that was committed: a message was sent, a participant removed, a call ended. */
export interface Fact {
  /** What it is about, such as `chat/<threadId>`. */
  readonly stream: string;
  /** Its place in the stream: 1, 2, 3 and so on, without a gap. */
  readonly position: number;
  /** By the store's clock, milliseconds since 1970. Within a stream it never falls. */
  readonly at: number;
  /** A word of the plane that wrote it, such as `messageSent`. */
  readonly kind: string;
  /** JSON text that the plane wrote. */
  readonly payload: string;
}

/** What a plane says of a new fact. */
export type NewFact = Pick<Fact, 'kind' | 'payload'>;

/** Where a stream is. */
export interface Moved {
  readonly stream: string;
  /** Of its newest fact. */
  readonly position: number;
}

/** Characters of a stream's name. */
const MOST_NAME = 200;
/** Bytes of one payload in UTF-8. */
export const MOST_PAYLOAD_BYTES = 64 * 1024;
/** Facts that one transaction may add to one stream. */
const MOST_TOGETHER = 1000;

/** Printable ASCII without quotation marks and backslashes, so that JSON text of it is as long as the name. */
const NAME = /^[!#-[\]-~]+$/;

/** Names under this are versions of topics, see topics.ts. */
const TOPICS = 'topic/';

export const isStreamName = (name: string): boolean => name.length <= MOST_NAME && NAME.test(name);

/** The name under which the store keeps the version of a topic. */
export const streamOfTopic = (topic: string): string => `${TOPICS}${topic}`;

/** @throws RangeError when the plane made a mistake */
export function requireFacts(stream: string, facts: readonly NewFact[]): void {
  if (!isStreamName(stream) || stream.startsWith(TOPICS)) throw new RangeError(`not the name of a stream: ${stream}`);
  if (facts.length === 0 || facts.length > MOST_TOGETHER)
    throw new RangeError(`1 to ${MOST_TOGETHER} facts can be added together, not ${facts.length}`);
  for (const { kind, payload } of facts) {
    if (kind === '') throw new RangeError('a fact has a kind');
    if (Buffer.byteLength(payload) > MOST_PAYLOAD_BYTES)
      throw new RangeError(`the payload of ${kind} has more than ${MOST_PAYLOAD_BYTES} bytes`);
  }
}
