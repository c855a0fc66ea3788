/** Carries messages between nodes. Any of them may be lost, late, doubled or invented, and nothing breaks. */
export interface Carrier {
  /** Connects, and connects again after a loss, by itself. */
  start(listener: CarrierListener): void;
  /** Sends to every node, this one perhaps included. Never throws; resolves when more can be sent. */
  send(messages: readonly string[]): Promise<void>;
  /** Whether messages come and go, as far as it knows. */
  readonly isConnected: boolean;
  stop(): Promise<void>;
}

export interface CarrierListener {
  onMessage(text: string): void;
  /** It is connected, for the first time or again; what was told before is lost. */
  onConnected(): void;
}

/** For a store that one process uses alone: there is nobody to tell. */
export const NO_CARRIER: Carrier = {
  start: () => undefined,
  send: async () => undefined,
  isConnected: true,
  stop: async () => undefined,
};
