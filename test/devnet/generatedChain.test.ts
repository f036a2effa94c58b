import { deflateRawSync } from "node:zlib"
import { RLP } from "@ethereumjs/rlp"
import { assert, describe, it } from "vitest"
import {
  type ChainShape,
  generateChain,
  generatedChainSpec,
  generatedGenesisHeader,
} from "../../src/devnet/generatedChain.ts"
import type { ServedChain } from "../../src/devnet/servedChain.ts"
import { nextTransaction, openBody } from "../../src/domain/body.ts"
import { EMPTY_OMMERS_HASH, EMPTY_TRIE_ROOT, readHeader } from "../../src/domain/header.ts"
import { toHex } from "../../src/domain/hex.ts"
import { keccak256 } from "../../src/domain/keccak.ts"
import { lastCumulativeGas } from "../../src/domain/receiptList.ts"
import {
  carriedBloom,
  receipts69To68,
  receiptsBloom,
  receiptsRoot,
} from "../../src/domain/receipts.ts"
import { concatBytes, RlpReader } from "../../src/domain/rlp.ts"
import { recoverSender } from "../../src/domain/signature.ts"
import { readTransaction } from "../../src/domain/transactions.ts"
import { orderedTrieRoot } from "../../src/domain/trieRoot.ts"

const SHAPES: ReadonlyArray<ChainShape> = ["tiny", "light", "mainnet"]
const BLOCKS = { tiny: 200, light: 60, mainnet: 12 }

/** The payload of a typed transaction, the whole item of a legacy one. */
const items = (list: RlpReader): ReadonlyArray<Uint8Array> => {
  const values: Array<Uint8Array> = []
  while (!list.done) values.push(list.next().isList ? list.item() : list.payload())
  return values
}

const transactionsOf = (chain: ServedChain, number: number): ReadonlyArray<Uint8Array> =>
  items(RlpReader.list(chain.bodyAt(number)!).nextList())

/** The type byte of each, 0xc0 for legacy ones. */
const typesOf = (values: ReadonlyArray<Uint8Array>) =>
  values.map((value) => Math.min(value[0]!, 0xc0))

const withdrawalsOf = (chain: ServedChain, number: number): ReadonlyArray<Uint8Array> => {
  const body = RlpReader.list(chain.bodyAt(number)!)
  body.next()
  body.next()
  return items(body.nextList())
}

interface DecodedLog {
  readonly address: string
  readonly topics: number
}

/** Logs by another library's decoder. */
const logsOf = (chain: ServedChain, number: number): ReadonlyArray<DecodedLog> => {
  const logs: Array<DecodedLog> = []
  for (const receipt of RLP.decode(chain.receipts69At(number))) {
    if (!Array.isArray(receipt) || !Array.isArray(receipt[3])) return assert.fail("no receipt")
    for (const log of receipt[3]) {
      if (!Array.isArray(log)) return assert.fail("no log")
      const [address, topics] = log
      if (!(address instanceof Uint8Array) || !Array.isArray(topics)) return assert.fail("no log")
      logs.push({ address: toHex(address), topics: topics.length })
    }
  }
  return logs
}

const digestOf = (chain: ServedChain): string =>
  toHex(
    keccak256(
      concatBytes(
        chain.numbers.flatMap((number) => [
          chain.headerAt(number)!,
          chain.bodyAt(number)!,
          chain.receipts68At(number)!,
        ]),
      ),
    ),
  )

const meanBytes = (chain: ServedChain): number => {
  let bytes = 0
  for (let number = 1; number <= chain.lastBlock; number++) {
    bytes += chain.headerAt(number)!.length
    bytes += chain.bodyAt(number)!.length + chain.receipts68At(number)!.length
  }
  return bytes / chain.lastBlock
}

/** Where calldata stands in a transaction's fields, by type. */
const CALLDATA_FIELD = [5, 6, 7, 7, 7]

const calldataOf = (transaction: Uint8Array): Uint8Array => {
  const type = transaction[0]! >= 0xc0 ? 0 : transaction[0]!
  const fields = RLP.decode(type === 0 ? transaction : transaction.subarray(1))
  const data = fields[CALLDATA_FIELD[type]!]
  return data instanceof Uint8Array ? data : assert.fail("no calldata")
}

for (const shape of SHAPES) {
  describe(`a generated chain of shape ${shape}`, () => {
    const chain = generateChain({ blocks: BLOCKS[shape], shape, seed: 42 })

    it("goes from genesis to the last block, linked, 12 seconds apart", () => {
      assert.deepEqual([chain.firstBlock, chain.lastBlock], [0, BLOCKS[shape]])
      for (let number = 1; number <= chain.lastBlock; number++) {
        const header = readHeader(chain.headerAt(number)!)
        const parent = chain.headerAt(number - 1)!
        assert.strictEqual(header.number, number)
        assert.deepEqual(header.parentHash, keccak256(parent))
        assert.strictEqual(header.timestamp - readHeader(parent).timestamp, 12)
      }
    })

    it("has the roots, blooms and gas that its headers say", () => {
      for (const number of chain.numbers) {
        const header = readHeader(chain.headerAt(number)!)
        const receipts = chain.receipts68At(number)!
        const transactions = transactionsOf(chain, number)
        assert.deepEqual(header.transactionsRoot, orderedTrieRoot(transactions))
        assert.deepEqual(header.withdrawalsRoot, orderedTrieRoot(withdrawalsOf(chain, number)))
        assert.deepEqual(header.ommersHash, EMPTY_OMMERS_HASH)
        assert.deepEqual(header.receiptsRoot, receiptsRoot(receipts, 68))
        assert.deepEqual(header.logsBloom, receiptsBloom(receipts, 68))
        assert.deepEqual(header.logsBloom, carriedBloom(receipts))
        assert.strictEqual(header.gasUsed, lastCumulativeGas(receipts, 68))
        assert.isAtMost(header.gasUsed, header.gasLimit)
        assert.deepEqual(receipts69To68(chain.receipts69At(number)!), receipts)
        assert.deepEqual(typesOf(transactions), typesOf(items(RlpReader.list(receipts))))
      }
    })

    it("is canonical RLP to another decoder, down to the fields of its transactions", () => {
      for (const number of [1, chain.lastBlock]) {
        const [header, body] = [chain.headerAt(number)!, chain.bodyAt(number)!]
        const receipts = chain.receipts68At(number)!
        for (const bytes of [header, body, receipts]) {
          assert.deepEqual(RLP.encode(RLP.decode(bytes)), bytes)
        }
        for (const value of [
          ...transactionsOf(chain, number),
          ...items(RlpReader.list(receipts)),
        ]) {
          const payload = value[0]! < 0xc0 ? value.subarray(1) : value
          assert.deepEqual(RLP.encode(RLP.decode(payload)), payload)
        }
      }
    })

    it("shares no transaction and no receipts root between blocks", () => {
      const transactions = new Set<string>()
      const roots = new Set<string>()
      let count = 0
      let nonEmpty = 0
      for (const number of chain.numbers) {
        const values = transactionsOf(chain, number)
        for (const value of values) transactions.add(toHex(keccak256(value)))
        count += values.length
        if (values.length === 0) continue
        nonEmpty += 1
        roots.add(toHex(readHeader(chain.headerAt(number)!).receiptsRoot))
      }
      assert.isAbove(nonEmpty, 0)
      assert.strictEqual(transactions.size, count)
      assert.strictEqual(roots.size, nonEmpty)
    })

    it("comes out the same from the same seed and otherwise from another", () => {
      const again = generateChain({ blocks: BLOCKS[shape], shape, seed: 42 })
      assert.strictEqual(digestOf(again), digestOf(chain))
      const shorter = generateChain({ blocks: 3, shape, seed: 42 })
      assert.deepEqual(shorter.hashAt(3), chain.hashAt(3))
      for (const seed of [43, 42 + 2 ** 32]) {
        assert.notDeepEqual(generateChain({ blocks: 1, shape, seed }).hashAt(1), chain.hashAt(1))
      }
    })
  })
}

/** What each made block holds. */
const counts = (chain: ServedChain) =>
  chain.numbers.slice(1).map((number) => ({
    transactions: transactionsOf(chain, number).length,
    logs: logsOf(chain, number).length,
    withdrawals: withdrawalsOf(chain, number).length,
  }))

describe("the sizes of the shapes", () => {
  it("mainnet has 200 transactions, 800 logs and about 273 kB a block", () => {
    const chain = generateChain({ blocks: 20, shape: "mainnet", seed: 7 })
    for (const count of counts(chain)) {
      assert.deepEqual(count, { transactions: 200, logs: 800, withdrawals: 16 })
    }
    assert.approximately(meanBytes(chain), 273_000, 5_000)
  })

  it("light has 10 transactions and 20 logs", () => {
    for (const count of counts(generateChain({ blocks: 20, shape: "light", seed: 7 }))) {
      assert.deepEqual(count, { transactions: 10, logs: 20, withdrawals: 2 })
    }
  })

  it("tiny has none to two transactions, each number now and then", () => {
    const seen = new Map<number, number>()
    for (const { transactions, logs } of counts(
      generateChain({ blocks: 100, shape: "tiny", seed: 7 }),
    )) {
      seen.set(transactions, (seen.get(transactions) ?? 0) + 1)
      assert.isAtMost(logs, 2)
      assert.strictEqual(logs > 0, transactions > 0)
    }
    assert.deepEqual(
      [...seen.keys()].sort((a, b) => a - b),
      [0, 1, 2],
    )
    for (const times of seen.values()) assert.isAbove(times, 10)
  })
})

describe("the content of a chain of mainnet's shape", () => {
  const chain = generateChain({ blocks: 30, shape: "mainnet", seed: 9 })
  const numbers = chain.numbers.slice(1)

  it("mixes the transaction types, type 2 most", () => {
    const seen = [0, 0, 0, 0, 0]
    for (const number of numbers) {
      for (const value of transactionsOf(chain, number)) {
        seen[value[0]! >= 0xc0 ? 0 : value[0]!]! += 1
      }
    }
    const total = 200 * numbers.length
    for (const count of seen) assert.isAbove(count / total, 0.01)
    assert.isAbove(seen[2]! / total, 0.7)
  })

  it("has calldata that compresses about 2:1", () => {
    const calldata = concatBytes(
      numbers.flatMap((number) => transactionsOf(chain, number).map(calldataOf)),
    )
    const ratio = calldata.length / deflateRawSync(calldata).length
    assert.isAbove(ratio, 1.6)
    assert.isBelow(ratio, 2.5)
  })

  it("logs mostly token transfers, from contracts that follow Zipf's law", () => {
    const seen = new Map<string, number>()
    let threeTopics = 0
    let total = 0
    for (const { address, topics } of numbers.flatMap((number) => logsOf(chain, number))) {
      seen.set(address, (seen.get(address) ?? 0) + 1)
      if (topics === 3) threeTopics += 1
      total += 1
    }
    assert.isAbove(threeTopics / total, 0.6)
    const ranked = [...seen.values()].sort((a, b) => b - a)
    // The k-th of 200,000 has a share of 1 / (k · H), with H, the sum of 1/k, about 12.78.
    for (const rank of [1, 2, 4, 10, 30]) {
      assert.approximately((ranked[rank - 1]! / total) * rank * 12.78, 1, 0.25)
    }
    assert.isAbove(ranked.length, 0.15 * total)
  })
})

describe("generateChain", () => {
  it("keeps the bytes of a seed from release to release", () => {
    const light = "d8626b1c7d43c8ea3b3c44fcd25937d7fd81149494e1b343e14f01b544020191"
    assert.strictEqual(digestOf(generateChain({ blocks: 10, shape: "light", seed: 1 })), light)
    const mainnet = "6bd52ab7c621ed8ac7ea8e2575290e1252383950bf3e0b8f429970af1c8fde71"
    assert.strictEqual(digestOf(generateChain({ blocks: 3, shape: "mainnet", seed: 1 })), mainnet)
  })

  it("has the genesis that its ChainSpec names, whatever the seed", () => {
    const spec = generatedChainSpec()
    assert.deepEqual([spec.networkId, spec.chainId], [1337n, 1337n])
    assert.deepEqual([spec.forkBlocks, spec.forkTimes], [[], []])
    for (const seed of [1, 2]) {
      const chain = generateChain({ blocks: 1, shape: "tiny", seed })
      assert.deepEqual(chain.hashAt(0), spec.genesisHash)
      assert.deepEqual(chain.headerAt(0), spec.genesisHeader)
    }
    const genesis = readHeader(generatedGenesisHeader())
    assert.strictEqual(genesis.timestamp, spec.genesisTime)
    assert.deepEqual(genesis.receiptsRoot, EMPTY_TRIE_ROOT)
  })

  it("builds on the genesis header and for the chain id that it is given", () => {
    const genesisHeader = generateChain({ blocks: 0, shape: "tiny", seed: 1 }).headerAt(0)!.slice()
    // The last byte is the requests hash's: another header, as valid as the first.
    genesisHeader[genesisHeader.length - 1]! ^= 1
    const chain = generateChain({
      blocks: 2,
      shape: "light",
      seed: 1,
      genesisHeader,
      chainId: 99,
    })
    assert.deepEqual(readHeader(chain.headerAt(1)!).parentHash, keccak256(genesisHeader))
    const spec = generatedChainSpec(genesisHeader, 99)
    assert.deepEqual(spec.genesisHash, chain.hashAt(0))
    assert.strictEqual(spec.chainId, 99n)
    const typed = transactionsOf(chain, 1).find((value) => value[0]! < 0xc0)!
    assert.deepEqual(RLP.decode(typed.subarray(1))[0], Uint8Array.of(99))
  })
})

describe("a made chain's senders", () => {
  it("can be recovered from every transaction of the small shapes", () => {
    for (const shape of ["tiny", "light"] as const) {
      const chain = generateChain({ blocks: 30, shape, seed: 3 })
      let transactions = 0
      for (let number = 1; number <= 30; number++) {
        const list = openBody(chain.bodyAt(number)!).transactions
        while (!list.done) {
          const transaction = readTransaction(nextTransaction(list))
          assert.isDefined(transaction && recoverSender(transaction))
          transactions += 1
        }
      }
      assert.isAbove(transactions, 15)
    }
  })
})
