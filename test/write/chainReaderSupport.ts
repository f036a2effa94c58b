/** Logs and transactions of chains, told without the code under test; readers over stores of tests. */
import { type Input, RLP } from "@ethereumjs/rlp"
import { Effect, FastCheck as fc, type Scope } from "effect"
import type { ServedChain } from "../../src/devnet/servedChain.ts"
import { toHex } from "../../src/domain/hex.ts"
import { keccak256 } from "../../src/domain/keccak.ts"
import type { LogFilter, StoredLog } from "../../src/rpc/ChainReader.ts"
import { layerNoIndexer } from "../../src/write/chainIndex/ChainIndexer.ts"
import { layerChainReaderOver } from "../../src/write/ChainReaderSession.ts"
import { payloads, syncOptions, temporaryDirectory, withStore, writeNow } from "./support.ts"

/** A log as text, for comparing. */
export interface PlainLog {
  readonly block: number
  readonly transaction: string
  readonly places: string
  readonly address: string
  readonly topics: ReadonlyArray<string>
  readonly data: string
}

type Item = Uint8Array | ReadonlyArray<Item>

const bytesOf = (item: Item | undefined): Uint8Array => {
  if (item instanceof Uint8Array) return item
  throw new TypeError("no bytes")
}

const listOf = (item: Item | undefined): ReadonlyArray<Item> => {
  if (item !== undefined && !(item instanceof Uint8Array)) return item
  throw new TypeError("no list")
}

/** The hashes of a block's transactions, as hex. */
export const hashesOf = (chain: ServedChain, blockNumber: number): ReadonlyArray<string> => {
  const [transactions] = listOf(RLP.decode(chain.bodyAt(blockNumber)))
  return listOf(transactions).map((item) =>
    toHex(keccak256(item instanceof Uint8Array ? item : RLP.encode([...item].map(bare)))),
  )
}

/** An item as the library takes it. */
const bare = (item: Item): Input => (item instanceof Uint8Array ? item : [...item].map(bare))

/** All logs of a block. */
export const logsOf = (chain: ServedChain, blockNumber: number): ReadonlyArray<PlainLog> => {
  const hashes = hashesOf(chain, blockNumber)
  let logIndex = 0
  return listOf(RLP.decode(chain.receipts69At(blockNumber))).flatMap((receipt, index) =>
    listOf(listOf(receipt)[3]).map((log) => {
      const [address, topics, data] = listOf(log)
      return {
        block: blockNumber,
        transaction: hashes[index]!,
        places: `${toHex(chain.hashAt(blockNumber)!)} ${index} ${logIndex++}`,
        address: toHex(bytesOf(address)),
        topics: listOf(topics).map((topic) => toHex(bytesOf(topic))),
        data: toHex(bytesOf(data)),
      }
    }),
  )
}

/** An answer as text. */
export const plain = (log: StoredLog): PlainLog => ({
  block: log.blockNumber,
  transaction: toHex(log.transactionHash),
  places: `${toHex(log.blockHash)} ${log.transactionIndex} ${log.logIndex}`,
  address: toHex(log.address),
  topics: log.topics.map(toHex),
  data: toHex(log.data),
})

/** Whether a log passes a filter. */
export const passes = ({ addresses, topics }: LogFilter, log: PlainLog): boolean =>
  (addresses.length === 0 || addresses.some((address) => toHex(address) === log.address)) &&
  topics.length <= log.topics.length &&
  topics.every(
    (alternatives, place) =>
      alternatives.length === 0 || alternatives.some((topic) => toHex(topic) === log.topics[place]),
  )

/** Filters made of what logs have: of one log, of several mixed, of what no log has. */
export const arbitraryFilter = (logs: ReadonlyArray<PlainLog>): fc.Arbitrary<LogFilter> => {
  const some = fc.nat(Math.max(0, logs.length - 1)).map((at) => logs[at]!)
  const address = fc.oneof(
    { weight: 4, arbitrary: some.map((log) => Buffer.from(log.address, "hex")) },
    { weight: 1, arbitrary: fc.uint8Array({ minLength: 20, maxLength: 20 }) },
  )
  const topic = (place: number) =>
    fc.oneof(
      {
        weight: 4,
        arbitrary: some.map((log) =>
          Buffer.from(log.topics[place] ?? log.topics[0] ?? "00".repeat(32), "hex"),
        ),
      },
      { weight: 1, arbitrary: fc.uint8Array({ minLength: 32, maxLength: 32 }) },
    )
  return fc.record({
    addresses: fc.oneof(fc.constant([]), fc.array(address, { maxLength: 4 })),
    topics: fc
      .tuple(...[0, 1, 2, 3].map((place) => fc.array(topic(place), { maxLength: 3 })))
      .chain((all) => fc.nat(4).map((count) => all.slice(0, count))),
  })
}

/** A directory with a store of blocks `first` to `last` of a chain. */
export const storeOf = (
  chain: ServedChain,
  first: number,
  last: number,
): Effect.Effect<string, unknown, Scope.Scope> =>
  Effect.tap(temporaryDirectory, (directory) => writeInto(directory, chain, first, last))

/** Writes blocks into a store. */
export const writeInto = (directory: string, chain: ServedChain, first: number, last: number) =>
  withStore(syncOptions(directory), (store) => writeNow(store, payloads(chain, first, last)))

/** A reader that nobody builds an index for. */
export const readerOf = (directory: string) =>
  layerChainReaderOver(directory).pipe(
    (layer) => Effect.provide(layer),
    (provide) =>
      <A, E, R>(effect: Effect.Effect<A, E, R>) =>
        Effect.provide(provide(effect), layerNoIndexer),
  )
