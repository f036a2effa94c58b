/**
 * The fixtures' blocks as JSON-RPC has to show them, made of the fixtures' bytes by other code than
 * the program's: RLP and senders by @ethereumjs, fields by tables of their own.
 *
 * In: `chains/<name>`. Out: objects of the execution-apis schemas, whole: no field more, none less.
 */
import { readFileSync } from "node:fs"
import { gunzipSync } from "node:zlib"
import type { Common } from "@ethereumjs/common"
import { type Decoded, type NestedUint8Array, RLP } from "@ethereumjs/rlp"
import { createTxFromRLP } from "@ethereumjs/tx"
import { type Hex, keccak256, toHex } from "viem"
import { fixture } from "./fixtures.ts"
import { commonOf } from "./otherLibrary.ts"

/** A JSON object. */
export type Fields = Readonly<Record<string, unknown>>

/** A block, and all that can be asked about it. */
export interface ExpectedBlock {
  readonly number: Hex
  readonly hash: Hex
  /** With its transactions in full. */
  readonly block: Fields
  readonly transactions: ReadonlyArray<Fields>
  readonly transactionHashes: ReadonlyArray<Hex>
  readonly receipts: ReadonlyArray<Fields>
  readonly logs: ReadonlyArray<Fields>
  readonly uncles: ReadonlyArray<Fields>
  /** As the fixture holds them; transactions as their hashes take them. */
  readonly raw: {
    readonly header: Hex
    readonly block: Hex
    readonly transactions: ReadonlyArray<Hex>
    readonly receipts: ReadonlyArray<Hex>
  }
}

/** A chain of `chains/`, whose blocks are made up when they are asked for: senders take their time. */
export interface ExpectedChain {
  readonly chainId: number
  readonly length: number
  readonly at: (index: number) => ExpectedBlock
  /** Number and hash only. */
  readonly head: { readonly number: number; readonly hash: Hex }
}

/** Reads `chains/<name>`. */
export const expectedChain = (name: string): ExpectedChain => {
  const genesis: Genesis = JSON.parse(readFileSync(fixture(`chains/${name}/genesis.json`), "utf8"))
  const { chainId } = genesis.config
  const common = commonOf(chainId)
  const blocks = blocksOf(gunzipSync(readFileSync(fixture(`chains/${name}/full.rlp.gz`))))
  const header = list(blocks.at(-1))[0]!
  return {
    chainId,
    length: blocks.length,
    at: (index) => expectedBlock(blocks[index]!, genesis, common),
    head: { number: Number(quantity(list(header)[8])), hash: hashOf(header) },
  }
}

type Item = Uint8Array | NestedUint8Array

interface Genesis {
  readonly config: {
    readonly chainId: number
    readonly blobSchedule?: Readonly<Record<string, { readonly baseFeeUpdateFraction: number }>>
  } & Readonly<Record<string, unknown>>
}

const blocksOf = (file: Uint8Array): ReadonlyArray<Item> => {
  const blocks: Array<Item> = []
  for (let left: Uint8Array = new Uint8Array(file); left.length > 0;) {
    const { data, remainder }: Decoded = RLP.decode(left, true)
    blocks.push(data)
    left = remainder
  }
  return blocks
}

const list = (item: Item | undefined): ReadonlyArray<Item> => {
  if (item === undefined || item instanceof Uint8Array) throw new Error("no list")
  return item
}
const bytes = (item: Item | undefined): Uint8Array => {
  if (!(item instanceof Uint8Array)) throw new Error("no bytes")
  return item
}
const hex = (item: Item | undefined): Hex => toHex(bytes(item))
const integer = (item: Item | undefined): bigint => BigInt(hex(item) === "0x" ? 0 : hex(item))
const quantity = (item: Item | undefined): Hex => toHex(integer(item))
const encoded = (...items: ReadonlyArray<Item>): Uint8Array => RLP.encode([...items])
const hashOf = (item: Item): Hex => keccak256(RLP.encode(item))

type Kind = (item: Item | undefined) => unknown
type Table = ReadonlyArray<readonly [name: string, kind: Kind]>

/** The fields that there are, by a table of their names in their order. */
const fieldsOf = (table: Table, items: ReadonlyArray<Item>): Fields =>
  Object.fromEntries(
    table.slice(0, items.length).map(([name, kind], at) => [name, kind(items[at])]),
  )

const HEADER: Table = [
  ["parentHash", hex],
  ["sha3Uncles", hex],
  ["miner", hex],
  ["stateRoot", hex],
  ["transactionsRoot", hex],
  ["receiptsRoot", hex],
  ["logsBloom", hex],
  ["difficulty", quantity],
  ["number", quantity],
  ["gasLimit", quantity],
  ["gasUsed", quantity],
  ["timestamp", quantity],
  ["extraData", hex],
  ["mixHash", hex],
  ["nonce", hex],
  ["baseFeePerGas", quantity],
  ["withdrawalsRoot", hex],
  ["blobGasUsed", quantity],
  ["excessBlobGas", quantity],
  ["parentBeaconBlockRoot", hex],
  ["requestsHash", hex],
]

/** The fields of a header's object in the header's order, and which of them are quantities. */
export const headerFields = HEADER.map(([name, kind]) => ({ name, isQuantity: kind === quantity }))

const WITHDRAWAL: Table = [
  ["index", quantity],
  ["validatorIndex", quantity],
  ["address", hex],
  ["amount", quantity],
]

const recipient: Kind = (item) => (bytes(item).length === 0 ? null : hex(item))
const hashes: Kind = (item) => list(item).map(hex)
const accessList: Kind = (item) =>
  list(item).map((entry) => {
    const [address, storageKeys] = list(entry)
    return { address: hex(address), storageKeys: hashes(storageKeys) }
  })
const authorizations: Kind = (item) =>
  list(item).map((entry) => fieldsOf(AUTHORIZATION, list(entry)))

const SIGNATURE: Table = [
  ["yParity", quantity],
  ["r", quantity],
  ["s", quantity],
]
const AUTHORIZATION: Table = [
  ["chainId", quantity],
  ["address", hex],
  ["nonce", quantity],
  ...SIGNATURE,
]
const CALL: Table = [
  ["gas", quantity],
  ["to", recipient],
  ["value", quantity],
  ["input", hex],
]
const FEES: Table = [
  ["maxPriorityFeePerGas", quantity],
  ["maxFeePerGas", quantity],
]
const FIRST: Table = [
  ["chainId", quantity],
  ["nonce", quantity],
]
const LIST: Table = [["accessList", accessList]]

/** By type: yellow paper 4.2, EIP-2930, 1559, 4844, 7702. */
const TRANSACTIONS: ReadonlyArray<Table> = [
  [["nonce", quantity], ["gasPrice", quantity], ...CALL, ["v", quantity], ...SIGNATURE.slice(1)],
  [...FIRST, ["gasPrice", quantity], ...CALL, ...LIST, ...SIGNATURE],
  [...FIRST, ...FEES, ...CALL, ...LIST, ...SIGNATURE],
  [
    ...FIRST,
    ...FEES,
    ...CALL,
    ...LIST,
    ["maxFeePerBlobGas", quantity],
    ["blobVersionedHashes", hashes],
    ...SIGNATURE,
  ],
  [...FIRST, ...FEES, ...CALL, ...LIST, ["authorizationList", authorizations], ...SIGNATURE],
]

/** What a transaction's and a receipt's objects have of their block. */
interface Place {
  readonly blockHash: Hex
  readonly blockNumber: Hex
  readonly blockTimestamp: Hex
}

const expectedBlock = (item: Item, genesis: Genesis, common: Common): ExpectedBlock => {
  const [header, body, receipts] = list(item)
  const [transactions, uncles, withdrawals] = list(body)
  const head = list(header)
  const place = {
    blockHash: hashOf(header!),
    blockNumber: quantity(head[8]),
    blockTimestamp: quantity(head[11]),
  }
  const raws = list(transactions).map((one) => (one instanceof Uint8Array ? one : RLP.encode(one)))
  const shown = raws.map((raw, index) => transactionOf(raw, index, place, head, common))
  const block = encoded(header!, ...list(body))
  const receiptItems = list(receipts)
  const told = receiptsOf(receiptItems, shown, place, blobGasPrice(head, genesis))
  return {
    number: place.blockNumber,
    hash: place.blockHash,
    block: {
      ...headerOf(header!, block.length),
      uncles: list(uncles).map(hashOf),
      transactions: shown,
      ...(withdrawals && {
        withdrawals: list(withdrawals).map((one) => fieldsOf(WITHDRAWAL, list(one))),
      }),
    },
    transactions: shown,
    transactionHashes: raws.map((raw) => keccak256(raw)),
    receipts: told.receipts,
    logs: told.logs,
    uncles: list(uncles).map((uncle) =>
      Object.assign(headerOf(uncle, encoded(uncle, [], []).length), { uncles: [] }),
    ),
    raw: {
      header: toHex(RLP.encode(header)),
      block: toHex(block),
      transactions: raws.map((raw) => toHex(raw)),
      receipts: receiptItems.map((one) => toHex(one instanceof Uint8Array ? one : RLP.encode(one))),
    },
  }
}

const headerOf = (header: Item, sizeBytes: number): Fields => ({
  ...fieldsOf(HEADER, list(header)),
  hash: hashOf(header),
  size: toHex(sizeBytes),
})

const transactionOf = (
  raw: Uint8Array,
  index: number,
  place: Place,
  header: ReadonlyArray<Item>,
  common: Common,
): Fields => {
  const type = raw[0]! < 0x80 ? raw[0]! : 0
  const fields = fieldsOf(TRANSACTIONS[type]!, list(RLP.decode(type === 0 ? raw : raw.subarray(1))))
  const read = createTxFromRLP(raw, { common, allowUnlimitedInitCodeSize: true })
  return {
    ...fields,
    ...place,
    type: toHex(type),
    hash: keccak256(raw),
    transactionIndex: toHex(index),
    from: read.getSenderAddress().toString(),
    ...(type === 0 ? legacyChain(fields) : { v: fields["yParity"] }),
    ...("maxFeePerGas" in fields && { gasPrice: paidPrice(fields, integer(header[15])) }),
  }
}

/** EIP-155: v is 35 or 36 above twice the chain's id. */
const legacyChain = (fields: Fields): Fields => {
  const v = BigInt(text(fields["v"]))
  return v < 35n ? {} : { chainId: toHex((v - 35n) / 2n) }
}

/** EIP-1559. */
const paidPrice = (fields: Fields, baseFee: bigint): Hex => {
  const [most, tip] = [fields["maxFeePerGas"], fields["maxPriorityFeePerGas"]].map((one) =>
    BigInt(text(one)),
  )
  return toHex(most! < baseFee + tip! ? most! : baseFee + tip!)
}

const text = (value: unknown): Hex => {
  if (typeof value !== "string") throw new Error("no text")
  return `0x${value.slice(2)}`
}

const receiptsOf = (
  items: ReadonlyArray<Item>,
  transactions: ReadonlyArray<Fields>,
  place: Place,
  blobGasPrice: Hex | undefined,
): Pick<ExpectedBlock, "receipts" | "logs"> => {
  const logs: Array<Fields> = []
  let before = 0n
  const receipts = items.map((item, index) => {
    const { type, hash, from, to, gasPrice, nonce, ...rest } = transactions[index]!
    const [outcome, cumulative, bloom, own] = list(
      item instanceof Uint8Array ? RLP.decode(item.subarray(1)) : item,
    )
    const at = { transactionHash: hash, transactionIndex: toHex(index) }
    const shown = list(own).map((log, offset) => {
      const [address, topics, data] = list(log)
      const logIndex = toHex(logs.length + offset)
      const said: Fields = { address: hex(address), topics: list(topics).map(hex), data: hex(data) }
      return Object.assign(said, place, at, { logIndex, removed: false })
    })
    logs.push(...shown)
    const gasUsed = integer(cumulative) - before
    before = integer(cumulative)
    const blobs = rest["blobVersionedHashes"]
    const { blockHash, blockNumber } = place
    return {
      blockHash,
      blockNumber,
      type,
      from,
      to,
      ...at,
      ...(bytes(outcome).length === 32 ? { root: hex(outcome) } : { status: quantity(outcome) }),
      cumulativeGasUsed: quantity(cumulative),
      gasUsed: toHex(gasUsed),
      effectiveGasPrice: gasPrice,
      contractAddress: to === null ? created(text(from), text(nonce)) : null,
      logs: shown,
      logsBloom: hex(bloom),
      ...(Array.isArray(blobs) && {
        blobGasUsed: toHex(131_072 * blobs.length),
        blobGasPrice,
      }),
    }
  })
  return { receipts, logs }
}

/** Where a contract comes to be (yellow paper 7). */
const created = (sender: Hex, nonce: Hex): Hex =>
  `0x${keccak256(RLP.encode([sender, BigInt(nonce)])).slice(-40)}`

/** EIP-4844 and EIP-7840; undefined before there were blobs. */
const blobGasPrice = (header: ReadonlyArray<Item>, { config }: Genesis): Hex | undefined => {
  if (header[18] === undefined) return undefined
  const timestamp = Number(integer(header[11]))
  const [latest] = Object.entries(config.blobSchedule ?? {})
    .map(
      ([fork, { baseFeeUpdateFraction }]) =>
        [config[`${fork}Time`], baseFeeUpdateFraction] as const,
    )
    .filter(([time]) => typeof time === "number" && time <= timestamp)
    .sort(([a], [b]) => Number(b) - Number(a))
  if (latest === undefined) return undefined
  const [, fraction] = latest
  const excess = integer(header[18])
  let sum = 0n
  let term = BigInt(fraction)
  for (let n = 1n; term > 0n; n++) {
    sum += term
    term = (term * excess) / (BigInt(fraction) * n)
  }
  return toHex(sum / BigInt(fraction))
}
