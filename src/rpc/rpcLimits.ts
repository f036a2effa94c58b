/** What a client of JSON-RPC may ask for. Bounds of memory and time; the defaults suit one machine. */

/** Each a whole number of at least 1. */
export interface RpcLimits {
  /** Bytes of a request's body, or of a message over WebSocket. */
  readonly requestBytes: number
  /** Bytes of an answer; of all answers of a batch together. */
  readonly responseBytes: number
  /** Calls in a batch. */
  readonly batchCalls: number
  /** Connections at once, HTTP and WebSocket together. */
  readonly connections: number
  /** Blocks that a query of logs may span. */
  readonly logBlocks: number
  /** Logs that a query may give. */
  readonly logResults: number
  /** Filters and subscriptions of all clients together. */
  readonly filters: number
  /** Milliseconds that a call may work, or those of a batch together; waiting for its turn is not work. */
  readonly callMs: number
}

/** What holds where nobody says otherwise. */
export const defaultRpcLimits: RpcLimits = {
  requestBytes: 1024 * 1024,
  responseBytes: 64 * 1024 * 1024,
  batchCalls: 1_000,
  connections: 1_000,
  logBlocks: 100_000,
  logResults: 20_000,
  filters: 1_000,
  callMs: 10_000,
}
