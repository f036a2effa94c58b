/**
 * The ways in which a devnet peer can be a bad one, as changes to what an honest one would answer.
 * Pure: which blocks a peer leaves out or alters depends on its own number and on nothing else.
 */
import { type EthRequest, ETH } from "../wire/ethMessages.ts"
import type { AnswerItems } from "./answers.ts"

/** See `annals devnet --fault`. */
export const faultKinds = [
  "slow",
  "silent",
  "short",
  "skip",
  "empty",
  "lie",
  "garbage",
  "leave",
] as const
/** One of {@link faultKinds}. */
export type FaultKind = (typeof faultKinds)[number]

/** What a peer does with a request. */
export type Reaction =
  | { readonly _tag: "Answer"; readonly answer: AnswerItems; readonly extraDelayMs: number }
  /** No answer, ever. */
  | { readonly _tag: "Silence" }
  /** Bytes that are no message, in place of the answer. */
  | { readonly _tag: "Garbage"; readonly code: number }
  /** The peer says goodbye instead. */
  | { readonly _tag: "Leave" }

/** How much later than an honest peer a slow one answers. */
export const SLOW_BY_MS = 60
/** After how many requests of a session a leaving peer says goodbye. */
export const LEAVES_AFTER = 8
/** A skipping peer lacks every block whose number leaves this remainder. */
const SKIP_EVERY = 5

/**
 * What a peer with this fault does with the `nth` request (from 1) of a session, to which an
 * honest peer would say `honest`. `numberOf` gives the height of a hash, for faults that go by it.
 */
export const react = (
  fault: FaultKind | undefined,
  request: EthRequest,
  nth: number,
  honest: AnswerItems,
  numberOf: (hash: Uint8Array) => number | undefined,
): Reaction => {
  const { items } = honest
  switch (fault) {
    case undefined:
      return say(honest)
    case "slow":
      return { _tag: "Answer", answer: honest, extraDelayMs: SLOW_BY_MS }
    case "silent":
      return { _tag: "Silence" }
    case "short":
      return say({ items: items.slice(0, Math.ceil(items.length / 2)), lastBlockIncomplete: false })
    case "skip":
      return say(skipping(request, honest, numberOf))
    case "empty":
      return request._tag === "GetBlockHeaders"
        ? say(honest)
        : say({ items: [], lastBlockIncomplete: false })
    case "lie":
      return say({ ...honest, items: items.map((item) => withAlteredByte(item)) })
    case "garbage":
      return { _tag: "Garbage", code: answerCode(request) }
    case "leave":
      return nth > LEAVES_AFTER ? { _tag: "Leave" } : say(honest)
  }
}

const say = (answer: AnswerItems): Reaction => ({ _tag: "Answer", answer, extraDelayMs: 0 })

const answerCode = (request: EthRequest): number => {
  switch (request._tag) {
    case "GetBlockHeaders":
      return ETH.blockHeaders
    case "GetBlockBodies":
      return ETH.blockBodies
    case "GetReceipts":
      return ETH.receipts
  }
}

const skipping = (
  request: EthRequest,
  honest: AnswerItems,
  numberOf: (hash: Uint8Array) => number | undefined,
): AnswerItems => {
  if (request._tag === "GetBlockHeaders") return honest
  // Only whole answers map item by item to the hashes that the chain knows.
  const known = request.hashes.map(numberOf).filter((number) => number !== undefined)
  const items = honest.items.filter((_, index) => known[index]! % SKIP_EVERY !== 0)
  return { items, lastBlockIncomplete: false }
}

/** The item with its middle byte changed; its length and so its frame stay what they were. */
const withAlteredByte = (item: Uint8Array): Uint8Array => {
  const altered = item.slice()
  const middle = altered.length >> 1
  altered[middle] = altered[middle]! ^ 0x01
  return altered
}
