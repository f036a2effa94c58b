/**
 * What execution clients (JSON-RPC) and beacon nodes (REST) say of the head of the chain, read from
 * their JSON. Pure; what is not as it should be is undefined, and whoever gave the URL is to blame.
 *
 * Sources: execution-apis `eth_getBlockByNumber`; beacon-APIs `/eth/v1/beacon/headers/head`,
 * `/eth/v2/beacon/blocks/{block_id}`, `/eth/v1/beacon/states/head/finality_checkpoints`.
 */
import type { BlockId } from "./headerTree.ts"

/** The `result` of a JSON-RPC answer; undefined where it is an error, or null. */
export const rpcResult = (answer: unknown): unknown => field(answer, "result") ?? undefined

/** A block as `eth_getBlockByNumber` gives it: number and hash. */
export const rpcBlock = (result: unknown): BlockId | undefined =>
  blockOf(hexNumber(field(result, "number")), field(result, "hash"))

/** A chain's id as `eth_chainId` gives it. */
export const rpcChainId = (result: unknown): bigint | undefined =>
  typeof result === "string" && /^0x[0-9a-f]{1,16}$/iu.test(result) ? BigInt(result) : undefined

/** The root of the beacon block that `/eth/v1/beacon/headers/head` names. */
export const beaconHeadRoot = (answer: unknown): string | undefined =>
  root(field(field(answer, "data"), "root"))

/** The roots of the justified and the finalized checkpoint; none before there is one. */
export const beaconCheckpoints = (
  answer: unknown,
): { readonly justified: string | undefined; readonly finalized: string | undefined } => {
  const data = field(answer, "data")
  return {
    justified: root(field(field(data, "current_justified"), "root")),
    finalized: root(field(field(data, "finalized"), "root")),
  }
}

/** The execution block within a beacon block, plain or blinded. */
export const beaconExecutionBlock = (answer: unknown): BlockId | undefined => {
  const body = field(field(field(answer, "data"), "message"), "body")
  const payload = field(body, "execution_payload") ?? field(body, "execution_payload_header")
  const number = field(payload, "block_number")
  return blockOf(
    typeof number === "string" && /^\d{1,15}$/u.test(number) ? Number(number) : undefined,
    field(payload, "block_hash"),
  )
}

const field = (value: unknown, name: string): unknown =>
  typeof value === "object" && value !== null
    ? Object.entries(value).find(([key]) => key === name)?.[1]
    : undefined

const hexNumber = (value: unknown): number | undefined =>
  typeof value === "string" && /^0x[0-9a-f]{1,13}$/iu.test(value) ? Number(value) : undefined

const HASH = /^0x([0-9a-f]{64})$/iu
const ZERO = "0".repeat(64)

const hashKey = (value: unknown): string | undefined => {
  const [, key] = typeof value === "string" ? (HASH.exec(value) ?? []) : []
  return key === undefined || key === ZERO ? undefined : key.toLowerCase()
}

const root = (value: unknown): string | undefined => {
  const key = hashKey(value)
  return key === undefined ? undefined : `0x${key}`
}

const blockOf = (number: number | undefined, hash: unknown): BlockId | undefined => {
  const key = hashKey(hash)
  return number === undefined || key === undefined ? undefined : { number, key }
}
