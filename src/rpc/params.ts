/**
 * The parameters of calls: from JSON to numbers, bytes, blocks and filters.
 *
 * In: values of any shape, since a client can send anything. Out: what the methods work with.
 * Invariant: whatever is not in the form that execution-apis demands is an `RpcError` of -32602 with
 * one line about what is wrong; the client is to blame. Where the specification's own test cases
 * have words for it, the words are theirs.
 */
import { parseHex } from "../domain/hex.ts"
import type { LogFilter } from "./ChainReader.ts"
import { invalidParams } from "./rpcError.ts"

/** A name of a block that moves (execution-apis, `BlockTag`). */
export type BlockTag = (typeof blockTags)[number]

/** All of {@link BlockTag}. */
export const blockTags = ["earliest", "latest", "safe", "finalized", "pending"] as const

/** A block by its number, 0 to 2^53 - 1, or its tag. */
export type BlockName = number | BlockTag

/** A block by its name, or by its hash of 32 bytes. */
export type BlockRef = { readonly name: BlockName } | { readonly hash: Uint8Array }

/** What `eth_getLogs` and filters are asked for. */
export interface LogQuery {
  readonly filter: LogFilter
  /** One block by its hash of 32 bytes; or a range, `latest` where the client leaves an end out. */
  readonly blocks:
    | { readonly hash: Uint8Array }
    | { readonly from: BlockName; readonly to: BlockName }
}

/** Positions of topics that a log can have (yellow paper 4.3.1). */
const MOST_TOPICS = 4

/** Alternatives at one position of a filter, and addresses; geth draws the same line. */
const MOST_ALTERNATIVES = 1_000

/**
 * The parameters of a call, by position: an array, or nothing, of `least` to `most` values that are
 * not null at its first `least` places.
 */
export const parameters = (
  params: unknown,
  least: number,
  most: number = least,
): ReadonlyArray<unknown> => {
  const values: unknown = params ?? []
  if (!isArray(values)) throw invalidParams("params have to be an array")
  if (values.length > most) throw invalidParams(`too many arguments, want at most ${most}`)
  for (let argument = 0; argument < least; argument++) {
    if (values[argument] === undefined || values[argument] === null) {
      throw invalidParams(`missing value for required argument ${argument}`)
    }
  }
  return values
}

/**
 * A quantity of at most 64 bits; above 2^53 - 1 it is that, which no block and no index reaches.
 * Source: execution-apis, `uint`.
 */
export const parseQuantity = (value: unknown, argument: number): number => {
  if (typeof value !== "string") {
    throw invalid(argument, "a number has to be a hexadecimal string with 0x prefix")
  }
  demandPrefix(value, argument)
  if (value === "0x") throw invalid(argument, 'hex string "0x" has no digits')
  if (!HEX_DIGITS.test(value)) throw invalid(argument, "invalid hex string")
  if (value.length > 3 && value[2] === "0") {
    throw invalid(argument, "hex number with leading zero digits")
  }
  if (value.length > QUANTITY_LENGTH) throw invalid(argument, "hex number > 64 bits")
  return Math.min(Number(value), Number.MAX_SAFE_INTEGER)
}

/** A hash, 32 bytes. Source: execution-apis, `hash32`. */
export const parseHash = (value: unknown, argument: number): Uint8Array =>
  parseFixed(value, HASH_BYTES, "hash", argument)

/** Whether a block's transactions are wanted in full. */
export const parseFlag = (value: unknown, argument: number): boolean => {
  if (typeof value === "boolean") return value
  throw invalid(argument, "it has to be true or false")
}

/** A block's number or tag. Source: execution-apis, `BlockNumberOrTag`. */
export const parseBlockName = (value: unknown, argument: number): BlockName => {
  const tag = blockTags.find((known) => known === value)
  if (tag !== undefined) return tag
  if (typeof value === "string" && HASH_TEXT.test(value)) {
    throw invalid(argument, "a block number or tag is wanted, not a hash")
  }
  return parseQuantity(value, argument)
}

/**
 * A block's number, tag or hash, plain or as `{ blockNumber }` or `{ blockHash, requireCanonical }`
 * (EIP-1898). Every stored block is of the chain, so `requireCanonical` changes nothing.
 */
export const parseBlockRef = (value: unknown, argument: number): BlockRef => {
  if (isObject(value)) return parseBlockObject(value, argument)
  return typeof value === "string" && HASH_TEXT.test(value)
    ? { hash: parseHash(value, argument) }
    : { name: parseBlockName(value, argument) }
}

/** A filter of logs; `argument` is its place among the parameters. Source: execution-apis, `Filter`. */
export const parseLogQuery = (value: unknown, argument = 0): LogQuery => {
  if (!isObject(value)) throw invalid(argument, "a filter has to be an object")
  const { fromBlock, toBlock, blockHash } = value
  const filter = {
    addresses: parseAddresses(value["address"], argument),
    topics: parseTopics(value["topics"], argument),
  }
  if (isGiven(blockHash)) {
    if (isGiven(fromBlock) || isGiven(toBlock)) {
      const both = "cannot specify both BlockHash and FromBlock/ToBlock, choose one or the other"
      throw invalid(argument, both)
    }
    return { filter, blocks: { hash: parseHash(blockHash, argument) } }
  }
  const from = isGiven(fromBlock) ? parseBlockName(fromBlock, argument) : "latest"
  const to = isGiven(toBlock) ? parseBlockName(toBlock, argument) : "latest"
  return { filter, blocks: { from, to } }
}

const HASH_BYTES = 32
const ADDRESS_BYTES = 20
const HASH_TEXT = /^0x[0-9a-fA-F]{64}$/
const HEX_DIGITS = /^0x[0-9a-fA-F]+$/
const HEX_PREFIX = /^0[xX]/
/** Characters of a quantity of 64 bits. */
const QUANTITY_LENGTH = 18

const invalid = (argument: number, what: string): Error =>
  invalidParams(`invalid argument ${argument}: ${what}`)

const isArray = (value: unknown): value is ReadonlyArray<unknown> => Array.isArray(value)

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const isGiven = (value: unknown): boolean => value !== undefined && value !== null

const demandPrefix = (text: string, argument: number): void => {
  if (!HEX_PREFIX.test(text)) throw invalid(argument, "hex string without 0x prefix")
}

const parseFixed = (
  value: unknown,
  length: number,
  kind: "hash" | "address",
  argument: number,
): Uint8Array => {
  if (typeof value !== "string") throw invalid(argument, `a ${kind} has to be a hexadecimal string`)
  if (!HEX_PREFIX.test(value)) {
    const type = kind === "hash" ? "Hash" : "Address"
    // The specification's test case has these words of the client that made it.
    const words = `json: cannot unmarshal hex string without 0x prefix into Go value of type common.${type}`
    throw invalid(argument, words)
  }
  const digits = value.length - 2
  if (digits !== 2 * length) {
    throw invalid(argument, `hex string has length ${digits}, want ${2 * length} for a ${kind}`)
  }
  const bytes = HEX_DIGITS.test(value) ? parseHex(value) : undefined
  if (bytes === undefined) throw invalid(argument, `invalid hex string for a ${kind}`)
  return bytes
}

const parseBlockObject = (value: Readonly<Record<string, unknown>>, argument: number): BlockRef => {
  const { blockHash, blockNumber, requireCanonical } = value
  if (isGiven(blockHash) === isGiven(blockNumber)) {
    throw invalid(argument, "either blockHash or blockNumber is wanted")
  }
  if (isGiven(requireCanonical) && typeof requireCanonical !== "boolean") {
    throw invalid(argument, "requireCanonical has to be true or false")
  }
  return isGiven(blockHash)
    ? { hash: parseHash(blockHash, argument) }
    : { name: parseBlockName(blockNumber, argument) }
}

const parseAddresses = (value: unknown, argument: number): ReadonlyArray<Uint8Array> => {
  if (!isGiven(value)) return []
  const list = isArray(value) ? value : [value]
  demandFew(list, argument)
  return list.map((address) => parseFixed(address, ADDRESS_BYTES, "address", argument))
}

const parseTopics = (
  value: unknown,
  argument: number,
): ReadonlyArray<ReadonlyArray<Uint8Array>> => {
  if (!isGiven(value)) return []
  if (!isArray(value)) throw invalid(argument, "topics have to be an array")
  if (value.length > MOST_TOPICS) {
    throw invalid(argument, `exceed max topics: at most ${MOST_TOPICS} positions`)
  }
  return value.map((alternatives) => parseAlternatives(alternatives, argument))
}

/** What one position may hold; nothing, or null among the alternatives, is anything. */
const parseAlternatives = (value: unknown, argument: number): ReadonlyArray<Uint8Array> => {
  if (!isGiven(value)) return []
  const list = isArray(value) ? value : [value]
  demandFew(list, argument)
  const topics = list.map((topic) => (topic === null ? undefined : parseHash(topic, argument)))
  const named = topics.filter((topic) => topic !== undefined)
  return named.length < topics.length ? [] : named
}

const demandFew = (list: ReadonlyArray<unknown>, argument: number): void => {
  if (list.length <= MOST_ALTERNATIVES) return
  const most = `exceed max addresses or topics per search position: at most ${MOST_ALTERNATIVES}`
  throw invalid(argument, most)
}
