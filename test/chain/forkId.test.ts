import { assert, describe, it } from "vitest"
import { FastCheck as fc } from "effect"
import type { ChainSpec } from "../../src/chain/chainSpec.ts"
import {
  type ForkHead,
  type ForkId,
  type ForkIdVerdict,
  allForkIds,
  checkForkId,
  forkIdAt,
  forkIdFits,
} from "../../src/chain/forkId.ts"
import { crc32 } from "node:zlib"
import { fromHex, toHex } from "../../src/domain/hex.ts"
import { hoodi, mainnet, sepolia } from "../../src/chain/networks.ts"

const MAX_UINT64 = 2n ** 64n - 1n

const shown = (id: ForkId): string => `${toHex(id.hash)} ${id.next}`

const forkId = (hash: string, next: bigint | number): ForkId => ({
  hash: fromHex(hash),
  next: BigInt(next),
})

/** The hash of a state that has passed one more fork than `hash`, at `fork`. */
const hashAfter = (hash: string, fork: bigint): string => {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64BE(fork)
  return crc32(bytes, Number.parseInt(hash, 16)).toString(16).padStart(8, "0")
}

const publishedIds = [
  {
    chain: mainnet,
    ids: [
      "fc64ec04 1150000",
      "97c2c34c 1920000",
      "91d1f948 2463000",
      "7a64da13 2675000",
      "3edd5b10 4370000",
      "a00bc324 7280000",
      "668db0af 9069000",
      "879d6e30 9200000",
      "e029e991 12244000",
      "0eb440f6 12965000",
      "b715077d 13773000",
      "20c327fc 15050000",
      "f0afd0e3 1681338455",
      "dce96c2d 1710338135",
      "9f3d2254 1746612311",
      "c376cf8b 1764798551",
      "5167e2a6 1765290071",
      "cba2a1c0 1767747671",
      "07c9462e 0",
    ],
  },
  {
    chain: sepolia,
    ids: [
      "fe3366e7 1735371",
      "b96cbd13 1677557088",
      "f7f9bc08 1706655072",
      "88cf81d9 1741159776",
      "ed88b5fd 1760427360",
      "e2ae4999 1761017184",
      "56078a1e 1761607008",
      "268956b6 0",
    ],
  },
  {
    chain: hoodi,
    ids: [
      "bef71d30 1742999832",
      "0929e24e 1761677592",
      "e7e0e7ff 1762365720",
      "3893353e 1762955544",
      "23aa1351 0",
    ],
  },
]

describe("allForkIds", () => {
  it.each(publishedIds)("gives the published fork ids of $chain.name", ({ chain, ids }) => {
    assert.deepStrictEqual(allForkIds(chain).map(shown), ids)
  })
})

/** The fork id of mainnet with this head, as text. */
const at = (number: number, time: number): string => shown(forkIdAt(mainnet, { number, time }))

describe("forkIdAt", () => {
  it("changes at the fork itself, by block and by time", () => {
    assert.strictEqual(at(0, 0), "fc64ec04 1150000")
    assert.strictEqual(at(1_149_999, 0), "fc64ec04 1150000")
    assert.strictEqual(at(1_150_000, 0), "97c2c34c 1920000")
    assert.strictEqual(at(15_050_000, 0), "f0afd0e3 1681338455")
    assert.strictEqual(at(17_000_000, 1_681_338_454), "f0afd0e3 1681338455")
    assert.strictEqual(at(17_000_000, 1_681_338_455), "dce96c2d 1710338135")
    assert.strictEqual(at(30_000_000, 1_767_747_670), "cba2a1c0 1767747671")
    assert.strictEqual(at(30_000_000, 2_000_000_000), "07c9462e 0")
  })

  it("waits for the forks by block before it counts those by time", () => {
    assert.strictEqual(at(0, 2_000_000_000), "fc64ec04 1150000")
  })
})

/** Mainnet as it was known before forks went by time. */
const byBlockOnly: ChainSpec = { ...mainnet, forkTimes: [] }

type Case = readonly [
  says: string,
  chain: ChainSpec,
  head: readonly [number: number, time: number],
  remote: ForkId,
  verdict: ForkIdVerdict,
]

const BYZANTIUM = "a00bc324"
const GRAY_GLACIER = "f0afd0e3"
const SHANGHAI = "dce96c2d"
const BPO2 = "07c9462e"

const cases: ReadonlyArray<Case> = [
  // Same state.
  ["same state, none next", byBlockOnly, [15_050_000, 0], forkId(GRAY_GLACIER, 0), "compatible"],
  [
    "same state, peer expects a far fork",
    byBlockOnly,
    [15_050_000, 0],
    forkId(GRAY_GLACIER, MAX_UINT64),
    "compatible",
  ],
  [
    "same state, peer does not know our next fork",
    byBlockOnly,
    [7_279_999, 0],
    forkId(BYZANTIUM, 0),
    "compatible",
  ],
  [
    "same state, same next",
    byBlockOnly,
    [7_279_999, 0],
    forkId(BYZANTIUM, 7_280_000),
    "compatible",
  ],
  [
    "same state, peer expects a fork that we passed without it, in the last state",
    byBlockOnly,
    [88_888_888, 0],
    forkId(GRAY_GLACIER, 88_888_888),
    "incompatible",
  ],
  [
    "same state, peer expects a fork that we passed without it, in the middle",
    byBlockOnly,
    [7_279_999, 0],
    forkId(BYZANTIUM, 7_279_999),
    "incompatible",
  ],
  [
    "same state before our first fork by time, peer expects a time that we passed",
    mainnet,
    [888_888_888, 1_660_000_000],
    forkId(GRAY_GLACIER, 1_660_000_000),
    "incompatible",
  ],
  [
    "same state by block, peer expects a time that we passed",
    mainnet,
    [7_279_999, 1_667_999_999],
    forkId(BYZANTIUM, 1_667_999_999),
    "incompatible",
  ],
  [
    "same state by time, peer expects a far time",
    mainnet,
    [20_000_000, 1_681_338_455],
    forkId(SHANGHAI, MAX_UINT64),
    "compatible",
  ],
  [
    "last state by time, peer expects a time that we passed",
    mainnet,
    [88_888_888, 8_888_888_888],
    forkId(BPO2, 8_888_888_888n),
    "incompatible",
  ],
  [
    "last state by time, a block number below our height is no matter",
    mainnet,
    [88_888_888, 1_767_747_671],
    forkId(BPO2, 1_800_000_000),
    "compatible",
  ],
  // The peer is behind.
  [
    "peer one fork behind and knows it",
    byBlockOnly,
    [7_987_396, 0],
    forkId(BYZANTIUM, 7_280_000),
    "compatible",
  ],
  [
    "peer two forks behind and knows its next",
    byBlockOnly,
    [7_987_396, 0],
    forkId("3edd5b10", 4_370_000),
    "compatible",
  ],
  [
    "peer one fork behind and does not know it",
    byBlockOnly,
    [7_987_396, 0],
    forkId(BYZANTIUM, 0),
    "remote_stale",
  ],
  [
    "peer behind the first fork by time and does not know it",
    mainnet,
    [20_000_000, 1_681_338_455],
    forkId(GRAY_GLACIER, 0),
    "remote_stale",
  ],
  [
    "peer behind the first fork by time and knows it",
    mainnet,
    [20_123_456, 1_681_338_456],
    forkId(GRAY_GLACIER, 1_681_338_455),
    "compatible",
  ],
  [
    "peer behind a fork by time with another idea of it",
    mainnet,
    [21_000_000, 1_710_338_135],
    forkId(SHANGHAI, 1_710_338_136),
    "remote_stale",
  ],
  // We are behind.
  ["peer one fork ahead", byBlockOnly, [7_279_999, 0], forkId("668db0af", 0), "compatible"],
  ["we at genesis, peer in the last state", mainnet, [0, 0], forkId(BPO2, 0), "compatible"],
  [
    "we at genesis, peer in the last state and expects more",
    mainnet,
    [0, 0],
    forkId(BPO2, 1_900_000_000),
    "compatible",
  ],
  // Neither.
  [
    "peer past a fork that we do not know",
    byBlockOnly,
    [7_987_396, 0],
    forkId(hashAfter("668db0af", MAX_UINT64), 0),
    "incompatible",
  ],
  [
    "peer past a fork by time that we do not know",
    mainnet,
    [20_000_000, 1_681_338_455],
    forkId(hashAfter(SHANGHAI, MAX_UINT64), 0),
    "incompatible",
  ],
  ["peer of another chain", byBlockOnly, [7_987_396, 0], forkId("afec6b27", 0), "incompatible"],
  ["hash of no length", mainnet, [0, 0], forkId("", 0), "incompatible"],
]

const rising = (max: number): fc.Arbitrary<ReadonlyArray<number>> =>
  fc
    .uniqueArray(fc.integer({ min: 1, max }), { maxLength: 5 })
    .map((forks) => forks.sort((a, b) => a - b))

const chains: fc.Arbitrary<ChainSpec> = fc
  .record({
    genesisHash: fc.uint8Array({ minLength: 32, maxLength: 32 }),
    forkBlocks: rising(50),
    forkTimes: rising(50),
  })
  .map((parts) => Object.assign({}, mainnet, parts))

const heads: fc.Arbitrary<ForkHead> = fc.record({
  number: fc.integer({ min: 0, max: 60 }),
  time: fc.integer({ min: 0, max: 60 }),
})

describe("checkForkId", () => {
  it.each(cases)("%s", (_says, chain, [number, time], remote, verdict) => {
    assert.strictEqual(checkForkId(chain, { number, time }, remote), verdict)
  })

  it("finds any two heads of one chain compatible, whichever is ahead", () => {
    fc.assert(
      fc.property(chains, heads, heads, (chain, ours, theirs) => {
        assert.strictEqual(checkForkId(chain, ours, forkIdAt(chain, theirs)), "compatible")
      }),
      { numRuns: 1000 },
    )
  })

  it("finds heads incompatible once one of them has passed a fork that the other lacks", () => {
    fc.assert(
      fc.property(chains, heads, (chain, head) => {
        const forked = { ...chain, forkTimes: [...chain.forkTimes, 55] }
        const theirs = forkIdAt(forked, { number: 60, time: 60 })
        assert.strictEqual(checkForkId(chain, head, theirs), "incompatible")
      }),
      { numRuns: 1000 },
    )
  })
})

describe("forkIdFits", () => {
  const now = mainnet.forkTimes.at(-1)! + 1

  it("is true of every fork state of the chain with the fork that came next", () => {
    for (const id of allForkIds(mainnet)) {
      assert.isTrue(forkIdFits(mainnet, id, now), toHex(id.hash))
    }
  })

  it("is false of who stayed behind, and of another chain", () => {
    for (const { hash } of allForkIds(mainnet).slice(0, -1)) {
      assert.isFalse(forkIdFits(mainnet, { hash, next: 0n }, now), toHex(hash))
    }
    assert.isFalse(forkIdFits(mainnet, allForkIds(sepolia).at(-1)!, now))
  })

  it("is false of who expects a fork that is over, and lacked by us", () => {
    const { hash } = allForkIds(mainnet).at(-1)!
    assert.isFalse(forkIdFits(mainnet, { hash, next: BigInt(now) }, now))
    assert.isTrue(forkIdFits(mainnet, { hash, next: BigInt(now) + 1n }, now))
  })
})
