/**
 * The ways in which a devnet peer can be a bad one, as changes to what an honest one would answer.
 * Pure: what becomes of an answer depends on the request, the chain and the honest answer alone.
 * The lies that have names are in `lies.ts`.
 */
import { toHex } from "../domain/hex.ts"
import { type EthRequest, ETH, type Status } from "../wire/ethMessages.ts"
import type { AnswerItems } from "./answers.ts"
import { type Asked, lieAbout, lieKinds } from "./lies.ts"

/** See `annals devnet --fault`. */
export const faultKinds = [
  "slow",
  "silent",
  "short",
  "skip",
  "empty",
  /** Has headers and bodies, and no receipts. */
  "bodies-only",
  /** Announces more than it has: see {@link announce}; and has only headers of its lower half. */
  "boast",
  /** Changes the middle byte of every item, whatever that breaks. */
  "lie",
  ...lieKinds,
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
/** How many blocks above its head a boasting peer announces. */
export const BOAST_BLOCKS = 5_000

/**
 * What a peer with this fault says in place of an honest Status. Over eth/68 no range is announced,
 * so there is nothing to boast of.
 */
export const announce = (fault: FaultKind | undefined, honest: Status): Status =>
  fault !== "boast" || honest.version === 68
    ? honest
    : { ...honest, earliestBlock: 0, latestBlock: honest.latestBlock + BOAST_BLOCKS }

/**
 * What a peer with this fault does with the `nth` request (from 1) of a session, to which an
 * honest peer would say `honest`.
 */
export const react = (
  fault: FaultKind | undefined,
  asked: Asked,
  nth: number,
  honest: AnswerItems,
): Reaction => {
  const { items } = honest
  const { chain, request } = asked
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
      return say(onlyOf(asked, honest, (number) => number % SKIP_EVERY !== 0))
    case "empty":
      return request._tag === "GetBlockHeaders" ? say(honest) : say(NOTHING)
    case "bodies-only":
      return request._tag === "GetReceipts" ? say(NOTHING) : say(honest)
    case "boast": {
      const middle = (chain.firstBlock + chain.lastBlock) / 2
      return say(onlyOf(asked, honest, (number) => number >= middle))
    }
    case "lie":
      return say({ ...honest, items: items.map((item) => withAlteredByte(item)) })
    case "garbage":
      return { _tag: "Garbage", code: answerCode(request) }
    case "leave":
      return nth > LEAVES_AFTER ? { _tag: "Leave" } : say(honest)
    default:
      return say(lieAbout(fault, asked, honest))
  }
}

const NOTHING: AnswerItems = { items: [], lastBlockIncomplete: false }

const say = (answer: AnswerItems): Reaction => ({ _tag: "Answer", answer, extraDelayMs: 0 })

/** The code, relative to eth's, of the answer to a request. */
export const answerCode = (request: EthRequest): number => {
  switch (request._tag) {
    case "GetBlockHeaders":
      return ETH.blockHeaders
    case "GetBlockBodies":
      return ETH.blockBodies
    case "GetReceipts":
      return ETH.receipts
  }
}

/** The bodies and receipts of those blocks alone whose numbers `keeps`; headers are all there. */
const onlyOf = (
  { chain, request }: Asked,
  honest: AnswerItems,
  keeps: (blockNumber: number) => boolean,
): AnswerItems => {
  if (request._tag === "GetBlockHeaders") return honest
  // Only whole answers map item by item to the hashes that the chain knows.
  const known = request.hashes
    .map((hash) => chain.numberOf(toHex(hash)))
    .filter((number) => number !== undefined)
  const items = honest.items.filter((_, index) => keeps(known[index]!))
  return { items, lastBlockIncomplete: false }
}

/** The item with its middle byte changed; its length and so its frame stay what they were. */
const withAlteredByte = (item: Uint8Array): Uint8Array => {
  const altered = item.slice()
  const middle = altered.length >> 1
  altered[middle] = altered[middle]! ^ 0x01
  return altered
}
