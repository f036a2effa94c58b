/**
 * The whole ingest in memory: the real scheduler, fetch, checks and store, inline, with peers that
 * are swapped for fakes by a Layer, on the test's clock.
 */
import { mkdtempSync, rmSync } from "node:fs"
import os from "node:os"
import path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { type NestedUint8Array, RLP } from "@ethereumjs/rlp"
import { Duration, Effect, Exit, Fiber, Layer, TestClock } from "effect"
import { BlockRanges } from "../../src/domain/blockRanges.ts"
import { generateChain, generatedChainSpec } from "../../src/devnet/generatedChain.ts"
import { Blame } from "../../src/fetch/Blame.ts"
import { ByteGate } from "../../src/fetch/ByteGate.ts"
import { ingestStages } from "../../src/modes/ingest.ts"
import { IngestStats } from "../../src/observe/IngestStats.ts"
import { Stats } from "../../src/observe/Stats.ts"
import { PeerPool } from "../../src/peers/PeerPool.ts"
import { Reputation } from "../../src/peers/Reputation.ts"
import { CheckPool } from "../../src/process/CheckPool.ts"
import { Scheduler } from "../../src/scheduler/Scheduler.ts"
import { WorkList } from "../../src/scheduler/WorkList.ts"
import { Settings, type SettingsShape } from "../../src/Settings.ts"
import type { EthRequest } from "../../src/wire/ethMessages.ts"
import { Malformed } from "../../src/wire/WireError.ts"
import { Store } from "../../src/write/Store.ts"
import { commitDefaults, type TrustedHash } from "../../src/write/storeProtocol.ts"
import { Writer } from "../../src/write/Writer.ts"
import { type FakePeer, fakePeer } from "../support/FakePeer.ts"

const checks = ["links", "transactions", "uncles", "withdrawals", "receipts", "bloom"] as const
const served = generateChain({ blocks: 120, shape: "light", seed: 11 })
const other = generateChain({ blocks: 120, shape: "light", seed: 12 })

interface RunOptions {
  readonly peers: ReadonlyArray<FakePeer>
  readonly work?: BlockRanges
  readonly trusted?: ReadonlyArray<TrustedHash>
  readonly settings?: Partial<SettingsShape>
  /** Where the store is; a fresh place that goes with the test when not given. */
  readonly directory?: string
  /** Replaces the checks. */
  readonly pool?: Layer.Layer<CheckPool>
  /** How long every write takes, on the test's clock. */
  readonly writeMs?: number
}

const freshDirectory = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(path.join(os.tmpdir(), "annals-pipeline-"))),
  (made) => Effect.sync(() => rmSync(made, { recursive: true })),
)

/** Ingests into a fresh store with all tables; gives what came of it. */
const ingest = (options: RunOptions) =>
  Effect.gen(function* () {
    const { peers, work = BlockRanges.of(0, 120), trusted = [], settings, writeMs = 0 } = options
    const directory = options.directory ?? (yield* freshDirectory)
    const chain = generatedChainSpec()
    const store = Store.layerInline({
      directory,
      purpose: {
        kind: "sync",
        network: "memory",
        chainId: chain.chainId,
        genesisHash: chain.genesisHash,
        tables: ["transactions", "logs", "withdrawals", "uncles"],
        checks,
        trusted,
      },
      ...commitDefaults,
    })
    const slowed = Layer.effect(
      Store,
      Effect.map(Store, (shape) => ({
        ...shape,
        write: (...written: Parameters<typeof shape.write>) =>
          Effect.delay(shape.write(...written), Duration.millis(writeMs)),
      })),
    ).pipe(Layer.provide(store))
    let leastFree = Infinity
    const program = Effect.gen(function* () {
      const scheduler = yield* Scheduler
      const writer = yield* Writer
      const gate = yield* ByteGate
      const stats = yield* Stats
      const { status, verify } = yield* Store
      const free = gate.free()
      yield* Effect.sync(() => {
        leastFree = Math.min(leastFree, gate.free())
      }).pipe(Effect.zipRight(Effect.sleep(Duration.millis(20))), Effect.forever, Effect.fork)
      const [, failed] = yield* Effect.all([writer.run, scheduler.finished], {
        concurrency: "unbounded",
      })
      const banned = [...stats.peers.values()].filter((peer) => peer.bans > 0)
      return {
        failed: [...failed.ranges()],
        failures: Object.fromEntries(stats.failures),
        banned: banned.map((peer) => peer.client).sort(),
        refuted: (yield* scheduler.refuted).count,
        heldBytes: free - gate.free(),
        mostHeldBytes: free - leastFree,
        retries: stats.requeued,
        succeeded: stats.blocksSucceeded,
        status: yield* status,
        damage: (yield* verify()).damages,
      }
    })
    const surroundings = Layer.mergeAll(Reputation.layer, PeerPool.layerMemory(peers)).pipe(
      Layer.provideMerge(
        Layer.mergeAll(
          Settings.layer({
            slotsPerPeer: 2,
            receiptsPerRequest: 128,
            giveUpMs: 5_000,
            ...settings,
          }),
          Stats.layer,
          IngestStats.layer,
        ),
      ),
    )
    const fiber = yield* program.pipe(
      Effect.provide(
        ingestStages({ workers: 0, verify: new Set(checks) }, options.pool).pipe(
          Layer.provideMerge(Blame.layer),
          Layer.provideMerge(ByteGate.layer),
          Layer.provideMerge(WorkList.layer(work)),
          Layer.provideMerge(writeMs > 0 ? slowed : store),
          Layer.provideMerge(surroundings),
        ),
      ),
      Effect.fork,
    )
    for (let step = 0; step < 20_000; step++) {
      if ((yield* Fiber.poll(fiber))._tag === "Some") break
      // The store is loaded and answers in real time: let its promises settle between the ticks.
      yield* Effect.promise(async () => new Promise((resolve) => setImmediate(resolve)))
      yield* TestClock.adjust(Duration.millis(20))
    }
    return yield* Fiber.join(fiber)
  })

type Nested = Array<Uint8Array | Nested>
type Alter = (request: EthRequest, items: ReadonlyArray<Uint8Array>) => ReadonlyArray<Uint8Array>

/** What a part of an item must be; a test that finds something else is wrong about the shape. */
const asList = (item: Uint8Array | Nested | undefined): Nested => {
  if (item === undefined || item instanceof Uint8Array) throw new Error("no list")
  return item
}
const asBytes = (item: Uint8Array | Nested | undefined): Uint8Array => {
  if (!(item instanceof Uint8Array)) throw new Error("no bytes")
  return item
}
const fromRlp = (item: Uint8Array | NestedUint8Array): Uint8Array | Nested =>
  item instanceof Uint8Array ? item : item.map((each) => fromRlp(each))
const nested = (bytes: Uint8Array): Nested => asList(fromRlp(RLP.decode(bytes)))
const listAt = (list: Nested, index: number): Nested => asList(list.at(index))
const bytesAt = (list: Nested, index: number): Uint8Array => asBytes(list.at(index))

const flipped = (bytes: Uint8Array, at = bytes.length >> 1): Uint8Array => {
  const copy = bytes.slice()
  copy[at] = copy[at]! ^ 0x40
  return copy
}

/** A lie about every item of one kind of answer; items that have nothing to lie about stay. */
const lieAbout =
  (tag: EthRequest["_tag"], lie: (item: Nested) => Nested): Alter =>
  (request, items) =>
    request._tag === tag ? items.map((item) => RLP.encode(lie(nested(item)))) : items

/** The first receipt of a block (form 69) that has a log, with its logs replaced. */
const withLogs =
  (change: (logs: Nested) => Nested) =>
  (receipts: Nested): Nested => {
    const at = receipts.findIndex((receipt) => listAt(asList(receipt), 3).length > 0)
    if (at < 0) return receipts
    const receipt = asList(receipts[at])
    return receipts.with(at, receipt.with(3, change(listAt(receipt, 3))))
  }

const lies: Record<string, Alter> = {
  "a byte of a header": lieAbout("GetBlockHeaders", (header) =>
    header.with(3, flipped(bytesAt(header, 3))),
  ),
  "a byte of a body": lieAbout("GetBlockBodies", (body) => {
    const transactions = listAt(body, 0)
    const [first] = transactions
    return first instanceof Uint8Array
      ? body.with(0, transactions.with(0, flipped(first)))
      : body.with(0, transactions.with(0, asList(first).with(0, Uint8Array.of(9, 9))))
  }),
  "a byte of a withdrawal": lieAbout("GetBlockBodies", (body) => {
    const withdrawals = listAt(body, 2)
    const first = listAt(withdrawals, 0)
    return body.with(2, withdrawals.with(0, first.with(2, flipped(bytesAt(first, 2)))))
  }),
  "a byte of a receipt": lieAbout("GetReceipts", (receipts) => {
    const first = listAt(receipts, 0)
    const status = bytesAt(first, 1).length === 0 ? Uint8Array.of(1) : new Uint8Array(0)
    return receipts.with(0, first.with(1, status))
  }),
  "a byte of a log": lieAbout(
    "GetReceipts",
    withLogs((logs) => {
      const log = listAt(logs, 0)
      return logs.with(0, log.with(0, flipped(bytesAt(log, 0))))
    }),
  ),
  "the order of two receipts": lieAbout("GetReceipts", (receipts) =>
    receipts.with(0, receipts[1]!).with(1, receipts[0]!),
  ),
  "the last log, which is left out": lieAbout(
    "GetReceipts",
    withLogs((logs) => logs.slice(0, -1)),
  ),
  "the receipts of another block": (request, items) =>
    request._tag === "GetReceipts" ? items.toReversed() : items,
  "the body of another block": (request, items) =>
    request._tag === "GetBlockBodies" ? items.toReversed() : items,
}

const lacking: Alter = (request, items) =>
  request._tag === "GetBlockBodies"
    ? items.map((item, index) => (index % 2 === 1 ? Uint8Array.of(0xc0) : item))
    : items

const noReceipts: Alter = (request, items) => (request._tag === "GetReceipts" ? [] : items)

// The budget is scaled down with the blocks: a few requests fill it.
const tight = {
  answerTargetBytes: 20_000,
  receiptsAnswerBytes: 40_000,
  bytesInFlight: 100_000,
  maxPeers: 1,
  giveUpMs: 20_000,
}

describe("an ingest in memory", () => {
  it.scoped("stores all blocks of honest peers, checked, without a retry", () =>
    Effect.gen(function* () {
      const peers = ["a", "b"].map((name) => fakePeer({ name, served, latencyMs: 20 }))
      const end = yield* ingest({ peers })
      assert.deepStrictEqual(end.failed, [])
      assert.deepStrictEqual(end.failures, {})
      assert.strictEqual(end.retries, 0)
      assert.strictEqual(end.status.blocks, 121)
      assert.strictEqual(end.status.logs, 2_400)
      assert.deepStrictEqual(end.damage, [])
      assert.strictEqual(end.heldBytes, 0)
    }),
  )

  for (const ethVersion of [68, 69, 70] as const) {
    it.scoped(`keeps the same of eth/${ethVersion} as of any`, () =>
      Effect.gen(function* () {
        const peers = [fakePeer({ name: "a", served, latencyMs: 5, ethVersion })]
        const { status, damage } = yield* ingest({ peers })
        assert.strictEqual(status.transactions, 1_200)
        assert.deepStrictEqual(damage, [])
      }),
    )
  }

  for (const [what, alter] of Object.entries(lies)) {
    it.scoped(`catches a lie about ${what}, blames the liar, and keeps the honest data`, () =>
      Effect.gen(function* () {
        const liar = fakePeer({ name: "liar", served, latencyMs: 5, alter })
        const honest = fakePeer({ name: "honest", served, latencyMs: 200 })
        const end = yield* ingest({ peers: [liar, honest] })
        assert.deepStrictEqual(end.failed, [])
        assert.deepStrictEqual(end.banned, ["fake/liar"])
        assert.strictEqual(end.status.blocks, 121)
        assert.strictEqual(end.refuted, 0)
        assert.deepStrictEqual(end.damage, [])
        assert.strictEqual(end.heldBytes, 0)
      }),
    )
  }

  it.scoped("keeps no row of liars alone, and knows that offers were refuted", () =>
    Effect.gen(function* () {
      const names = ["a byte of a receipt", "a byte of a body"]
      const peers = names.map((name) =>
        fakePeer({ name: name.replaceAll(" ", ""), served, latencyMs: 5, alter: lies[name]! }),
      )
      const end = yield* ingest({ peers, work: BlockRanges.of(1, 40) })
      assert.deepStrictEqual(end.failed, [[1, 40]])
      assert.isAbove(end.refuted, 0)
      assert.strictEqual(end.status.blocks, 0)
      assert.strictEqual(end.banned.length, 2)
      assert.strictEqual(end.heldBytes, 0)
    }),
  )

  it.scoped("blames nobody for leaving blocks out, or for having bodies and no receipts", () =>
    Effect.gen(function* () {
      const peers = [
        fakePeer({ name: "skips", served, latencyMs: 5, fault: "skip" }),
        fakePeer({
          name: "bodies",
          served,
          latencyMs: 5,
          alter: (request, items) => (request._tag === "GetReceipts" ? [] : items),
        }),
        fakePeer({ name: "honest", served, latencyMs: 100 }),
      ]
      const end = yield* ingest({ peers })
      assert.deepStrictEqual(end.failed, [])
      assert.deepStrictEqual(end.banned, [])
      assert.deepStrictEqual(end.damage, [])
      assert.strictEqual(end.heldBytes, 0)
    }),
  )

  it.scoped("replaces a forged segment below a trusted hash, and blames who sent it", () =>
    Effect.gen(function* () {
      const trusted = [{ blockNumber: 120, hash: served.hashAt(120)! }]
      const forger = fakePeer({ name: "forger", served: other, latencyMs: 5 })
      const honest = fakePeer({ name: "honest", served, latencyMs: 300 })
      const end = yield* ingest({
        peers: [forger, honest],
        trusted,
        settings: { giveUpMs: 60_000, blocksPerAssignment: 16 },
        work: BlockRanges.of(80, 120),
      })
      assert.deepStrictEqual(end.failed, [])
      assert.deepStrictEqual(end.banned, ["fake/forger"])
      assert.strictEqual(end.status.blocks, 41)
      assert.strictEqual(end.status.anchored, 41)
      assert.strictEqual(end.succeeded, 41)
      assert.deepStrictEqual(end.damage, [])
    }),
  )

  it.scoped("fetches again what an earlier run had stored and this one shows to be wrong", () =>
    Effect.gen(function* () {
      const directory = yield* freshDirectory
      const forger = fakePeer({ name: "forger", served: other, latencyMs: 5 })
      const forged = yield* ingest({ peers: [forger], directory, work: BlockRanges.of(1, 40) })
      assert.strictEqual(forged.status.blocks, 40)
      const peers = [fakePeer({ name: "honest", served, latencyMs: 5 })]
      const trusted = [{ blockNumber: 60, hash: served.hashAt(60)! }]
      const work = BlockRanges.of(41, 60)
      const end = yield* ingest({ peers, directory, work, trusted, settings: { giveUpMs: 60_000 } })
      assert.deepStrictEqual(end.failed, [])
      assert.strictEqual(end.status.blocks, 60)
      assert.strictEqual(end.status.anchored, 60)
      assert.deepStrictEqual(end.banned, [])
      assert.deepStrictEqual(end.damage, [])
    }),
  )

  it.scoped("takes Nethermind's empty list in the place of a body as a lack, not a lie", () =>
    Effect.gen(function* () {
      const peers = [
        fakePeer({ name: "nethermind", served, latencyMs: 5, alter: lacking }),
        fakePeer({ name: "whole", served, latencyMs: 80 }),
      ]
      const end = yield* ingest({ peers, work: BlockRanges.of(1, 64) })
      assert.deepStrictEqual(end.failed, [])
      assert.deepStrictEqual(end.banned, [])
      assert.strictEqual(end.heldBytes, 0)
    }),
  )

  it.scoped("never waits for itself when bodies run ahead of slow receipts", () =>
    Effect.gen(function* () {
      const peers = Array.from({ length: 30 }, (_, index) =>
        fakePeer({
          name: `p${index}`,
          served,
          latencyMs: 100 + index,
          lateKinds: ["receipts"],
        }),
      )
      const end = yield* ingest({ peers, settings: tight })
      assert.deepStrictEqual(end.failed, [])
      assert.strictEqual(end.heldBytes, 0)
    }),
  )

  it.scoped("never waits for itself among peers that have bodies and no receipts", () =>
    Effect.gen(function* () {
      const peers = Array.from({ length: 25 }, (_, index) =>
        fakePeer({
          name: `p${index}`,
          served,
          latencyMs: 10 + index,
          ...(index < 22 ? { alter: noReceipts } : {}),
        }),
      )
      const end = yield* ingest({ peers, settings: tight })
      assert.deepStrictEqual(end.failed, [])
      assert.strictEqual(end.heldBytes, 0)
    }),
  )

  it.scoped("ends when the checking pool dies, instead of waiting for its blocks", () =>
    Effect.gen(function* () {
      const peers = [fakePeer({ name: "a", served, latencyMs: 5 })]
      const pool = Layer.succeed(CheckPool, {
        check: () => Effect.die("the thread is lost"),
        threadsCpuMs: () => [],
      })
      const exit = yield* Effect.exit(ingest({ peers, pool }))
      assert.isTrue(Exit.isFailure(exit))
      assert.include(String(exit), "the thread is lost")
    }),
  )

  it.scoped("slows its requests to a slow store instead of holding more", () =>
    Effect.gen(function* () {
      const peers = ["a", "b", "c"].map((name) => fakePeer({ name, served, latencyMs: 5 }))
      const settings = { receiptsAnswerBytes: 100_000, bytesInFlight: 400_000, maxPeers: 3 }
      const end = yield* ingest({ peers, settings, writeMs: 3_000 })
      assert.deepStrictEqual(end.failed, [])
      assert.strictEqual(end.status.blocks, 121)
      // The budget, the room for headers, and what one answer may be above its guess.
      assert.isAtMost(end.mostHeldBytes, 400_000 + 3 * 2 * 32 * 700 + 200_000)
      assert.isAtLeast(end.mostHeldBytes, 200_000)
      assert.strictEqual(end.heldBytes, 0)
    }),
  )

  it.scoped("bans for a broken answer that comes after its deadline, too", () =>
    Effect.gen(function* () {
      const late = fakePeer({ name: "late", served, latencyMs: 5 })
      const { peerId } = late.peer
      const broken = new Malformed({ peerId, what: "receipts", reason: "broken" })
      const getReceipts = () => Effect.delay(Effect.fail(broken), Duration.millis(700))
      const liar = { ...late, peer: { ...late.peer, getReceipts } }
      const honest = fakePeer({ name: "honest", served, latencyMs: 300 })
      const end = yield* ingest({
        peers: [liar, honest],
        work: BlockRanges.of(1, 40),
        settings: { requestTimeoutMs: 500 },
      })
      assert.deepStrictEqual(end.failed, [])
      assert.deepStrictEqual(end.banned, ["fake/late"])
      assert.isAtLeast(end.failures["malformed"] ?? 0, 1)
      assert.strictEqual(end.heldBytes, 0)
    }),
  )

  it.scoped("uses a late answer that is still wanted", () =>
    Effect.gen(function* () {
      const peer = fakePeer({ name: "late", served, latencyMs: 700, lateKinds: ["receipts"] })
      const end = yield* ingest({
        peers: [peer],
        work: BlockRanges.of(1, 1),
        settings: { requestTimeoutMs: 500 },
      })
      assert.deepStrictEqual(end.failed, [])
      assert.deepStrictEqual(end.failures, { timeout: 1 })
      // Asked once for receipts: the answer that came after its deadline was good enough.
      assert.deepStrictEqual(
        peer.asked.filter((each) => each.startsWith("receipts")),
        ["receipts 1"],
      )
      assert.strictEqual(end.heldBytes, 0)
    }),
  )
})
