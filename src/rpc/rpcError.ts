/**
 * What a call of JSON-RPC is refused with: the code, the words, and nothing of how it came about.
 *
 * Codes are those of JSON-RPC 2.0 and of the execution-apis specification's error groups; where
 * clients are known to read the words, the words are the ones that they read.
 */

/** The codes that this program answers with. */
export const rpcCodes = {
  /** The body is no JSON. */
  parseError: -32700,
  /** JSON, but no call. */
  invalidRequest: -32600,
  methodNotFound: -32601,
  /** Parameters of the wrong type, a range that is too wide or ends in the future. */
  invalidParams: -32602,
  /** The program's own fault. */
  internalError: -32603,
  /** Something that is there in principle cannot be had now. */
  serverError: -32000,
  /** More results, bytes, or time than a call may take. */
  limitExceeded: -32005,
  /** `safe` and `finalized` before anybody knows them (execution-apis, `BlockTag`). */
  unknownBlock: -39001,
  /** EIP-4444: a block below the head that the store does not hold. */
  prunedHistory: 4444,
} as const

/** A call's refusal, as it goes to the client. */
export class RpcError extends Error {
  readonly _tag = "RpcError"
  readonly code: number
  /** More for programs; left out of the answer where undefined. */
  readonly data: unknown

  constructor(code: number, message: string, data?: unknown) {
    super(message)
    this.code = code
    this.data = data
  }
}

/** The client asked wrongly: `what` says what was wrong and what would be right, in one line. */
export const invalidParams = (what: string): RpcError => new RpcError(rpcCodes.invalidParams, what)

/** A block that is part of the chain but not of this store; never an empty answer. */
export const prunedHistory = (): RpcError =>
  new RpcError(rpcCodes.prunedHistory, "pruned history unavailable")

/** A tag that stands for no block yet. */
export const unknownBlock = (): RpcError => new RpcError(rpcCodes.unknownBlock, "Unknown block")
