/**
 * The whole probe in memory: the real scheduler, fetch, process, write and counters, with peers that
 * are swapped for fakes by a Layer, on the test's clock.
 */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Layer, TestClock } from "effect"
import { BlockRanges } from "../../src/domain/blockRanges.ts"
import { generateChain } from "../../src/devnet/generatedChain.ts"
import { Blame } from "../../src/fetch/Blame.ts"
import { ByteGate } from "../../src/fetch/ByteGate.ts"
import { probeStages } from "../../src/modes/probe.ts"
import { Stats } from "../../src/observe/Stats.ts"
import { summarize } from "../../src/observe/summary.ts"
import { PeerPool } from "../../src/peers/PeerPool.ts"
import { Reputation } from "../../src/peers/Reputation.ts"
import { Scheduler } from "../../src/scheduler/Scheduler.ts"
import { WorkList } from "../../src/scheduler/WorkList.ts"
import { defaults, Settings, type SettingsShape } from "../../src/Settings.ts"
import { Writer } from "../../src/write/Writer.ts"
import { type FakePeer, fakePeer } from "../support/FakePeer.ts"

const served = generateChain({ blocks: 400, shape: "light", seed: 7 })

/** Runs a probe over fakes and gives its summary, what failed, and what is left of the budget. */
const run = (
  peers: ReadonlyArray<FakePeer>,
  work: BlockRanges,
  overrides: Partial<SettingsShape> = {},
) =>
  Effect.gen(function* () {
    const program = Effect.gen(function* () {
      const scheduler = yield* Scheduler
      const writer = yield* Writer
      const gate = yield* ByteGate
      const stats = yield* Stats
      const reputation = yield* Reputation
      const before = gate.free()
      const clock = yield* Effect.clock
      const startMs = clock.unsafeCurrentTimeMillis()
      yield* writer.run
      const failed = yield* scheduler.finished
      // Peers report their last batches after the last block is done.
      yield* Effect.yieldNow()
      const summary = summarize(stats, {
        mode: "probe",
        network: "memory",
        startBlock: 0,
        endBlock: 0,
        complete: failed.count === 0,
        elapsedMs: clock.unsafeCurrentTimeMillis() - startMs,
        cpuMs: 100,
        maxRssMib: 64,
        receiptsPerRequest: overrides.receiptsPerRequest ?? defaults.receiptsPerRequest,
        failedBlocks: [...failed.ranges()],
        limits: yield* Settings,
      })
      return { summary, held: before - gate.free(), bans: yield* reputation.bansSpoken }
    })
    const surroundings = Layer.mergeAll(Reputation.layer, PeerPool.layerMemory(peers)).pipe(
      Layer.provideMerge(Layer.mergeAll(Settings.layer(overrides), Stats.layer)),
    )
    const fiber = yield* program.pipe(
      Effect.provide(
        probeStages.pipe(
          Layer.provideMerge(Blame.layer),
          Layer.provideMerge(ByteGate.layer),
          Layer.provideMerge(WorkList.layer(work)),
          Layer.provideMerge(surroundings),
        ),
      ),
      Effect.fork,
    )
    for (let step = 0; step < 20_000; step++) {
      if ((yield* Fiber.poll(fiber))._tag === "Some") break
      yield* TestClock.adjust(Duration.millis(10))
    }
    return yield* Fiber.join(fiber)
  })

describe("the probe in memory", () => {
  it.effect("gives every figure of the summary exactly, from one honest peer", () =>
    Effect.gen(function* () {
      const peer = fakePeer({ name: "a", served, latencyMs: 20 })
      const { summary, held } = yield* run([peer], BlockRanges.of(1, 80))

      const numbers = Array.from({ length: 80 }, (_, index) => index + 1)
      const bytes = (at: (number: number) => Uint8Array | undefined) =>
        numbers.reduce((sum, number) => sum + (at(number)?.length ?? 0), 0)
      assert.deepStrictEqual(peer.asked, [
        "headers 1+32",
        "receipts 16",
        "receipts 16",
        "headers 33+32",
        "receipts 16",
        "receipts 16",
        "headers 65+16",
        "receipts 16",
      ])
      assert.deepStrictEqual(summary, {
        mode: "probe",
        network: "memory",
        complete: true,
        range: { start_block: 0, end_block: 0 },
        totals: {
          blocks_requested: 80,
          blocks_succeeded: 80,
          blocks_failed: 0,
          receipts: 800,
          bytes_received:
            bytes((number) => served.headerAt(number)) +
            bytes((number) => served.receipts69At(number)),
        },
        performance: {
          elapsed_ms: 120,
          blocks_per_sec: 666.67,
          receipts_per_sec: 6666.67,
          mib_per_sec: summary.performance.mib_per_sec,
          cpu_ms_per_block: 1.25,
          max_rss_mib: 64,
        },
        latency: {
          headers_ms: { p50: 20, p95: 20, p99: 20 },
          bodies_ms: { p50: 0, p95: 0, p99: 0 },
          receipts_ms: { p50: 20, p95: 20, p99: 20 },
          batch_ms: { p50: 40, p95: 40, p99: 40 },
        },
        requests: { headers: 3, bodies: 0, receipts: 5, receipts_per_request: 16, truncated: 0 },
        peers: {
          connected: 1,
          used: 1,
          banned: 0,
          network: {
            discovered: 0,
            dialled: 0,
            sessions_opened: 1,
            inbound: 0,
            sessions_closed: 0,
            refused: {},
            inbound_refused: {},
            closed: {},
            breaches: {},
            served: { requests: 0, delayed: 0, refused: 0 },
            clients: { fake: 1 },
            eth: { "eth/69": 1 },
            rotated: 0,
            limits: {
              max_peers: 50,
              max_outbound: 400,
              max_inbound: 200,
              max_concurrent_dials: 200,
            },
          },
          top: [
            {
              peer_id: peer.peer.peerId,
              client: "fake/a",
              eth: 69,
              blocks: 80,
              blocks_per_sec: 666.67,
              failures: 0,
              banned: false,
            },
          ],
        },
        retries: { requeued: 0, escalated: 0, recovered: 0 },
        failures: {},
        failed_blocks: [],
      })
      const expectedMib = summary.totals.bytes_received / 2 ** 20 / 0.12
      assert.approximately(summary.performance.mib_per_sec, expectedMib, 0.001)
      assert.strictEqual(held, 0)
    }),
  )

  it.effect("uses several peers at once, and never two batches of one peer", () =>
    Effect.gen(function* () {
      const peers = ["a", "b", "c"].map((name) => fakePeer({ name, served, latencyMs: 20 }))
      const { summary } = yield* run(peers, BlockRanges.of(0, 383))
      assert.isTrue(summary.complete)
      assert.strictEqual(summary.peers.used, 3)
      // 384 blocks are 12 batches; three peers take them four by four, 40 ms each.
      assert.strictEqual(summary.performance.elapsed_ms, 160)
      for (const peer of peers) assert.isAtMost(peer.mostOpen(), 2)
      assert.deepStrictEqual(
        peers.flatMap((peer) => peer.blocks).sort((a, b) => a - b),
        Array.from({ length: 384 }, (_, block) => block),
      )
    }),
  )

  it.effect(
    "asks for exactly sixteen receipts lists, fewer only in the last request of a batch",
    () =>
      Effect.gen(function* () {
        const peer = fakePeer({ name: "a", served, latencyMs: 1 })
        yield* run([peer], BlockRanges.of(1, 400), { blocksPerAssignment: 40 })
        const perBatch = peer.asked
          .join(" ")
          .split(/headers \S+ ?/u)
          .slice(1)
        assert.deepStrictEqual(
          perBatch.map((requests) => requests.trim()),
          Array.from({ length: 10 }, () => "receipts 16 receipts 16 receipts 8"),
        )
      }),
  )

  it.effect("asks nobody for blocks above its head", () =>
    Effect.gen(function* () {
      const low = fakePeer({ name: "low", served, latencyMs: 1, range: { from: 0, to: 100 } })
      const high = fakePeer({ name: "high", served, latencyMs: 30 })
      const { summary } = yield* run([low, high], BlockRanges.of(0, 400))
      assert.isTrue(summary.complete)
      assert.isAtMost(Math.max(...low.blocks), 100)
    }),
  )

  it.effect("ends by itself and names what nobody can serve", () =>
    Effect.gen(function* () {
      const low = fakePeer({ name: "low", served, latencyMs: 1, range: { from: 0, to: 100 } })
      const { summary } = yield* run([low], BlockRanges.of(90, 300), { giveUpMs: 3_000 })
      assert.isFalse(summary.complete)
      assert.deepStrictEqual(summary.failed_blocks, [[101, 300]])
      assert.strictEqual(summary.totals.blocks_succeeded, 11)
      assert.strictEqual(summary.totals.blocks_failed, 200)
    }),
  )

  it.effect("retries what timed out, elsewhere if it can, and counts it", () =>
    Effect.gen(function* () {
      const flaky = fakePeer({ name: "flaky", served, latencyMs: 5, silentFor: 1 })
      const good = fakePeer({ name: "good", served, latencyMs: 40 })
      const { summary, held } = yield* run([flaky, good], BlockRanges.of(1, 64), {
        requestTimeoutMs: 100,
      })
      assert.isTrue(summary.complete)
      assert.deepStrictEqual(summary.failures, { timeout: 1 })
      assert.deepStrictEqual(summary.retries, { requeued: 32, escalated: 0, recovered: 32 })
      assert.deepStrictEqual(flaky.blocks.length, 32)
      assert.deepStrictEqual(good.blocks.length, 64)
      assert.strictEqual(held, 0)
    }),
  )

  it.effect("gives a lone peer that timed out twice a third chance", () =>
    Effect.gen(function* () {
      const flaky = fakePeer({ name: "flaky", served, latencyMs: 5, silentFor: 2 })
      const { summary } = yield* run([flaky], BlockRanges.of(1, 32), { requestTimeoutMs: 100 })
      assert.isTrue(summary.complete)
      assert.deepStrictEqual(summary.failures, { timeout: 2 })
      assert.deepStrictEqual(summary.retries, { requeued: 64, escalated: 0, recovered: 32 })
    }),
  )

  it.effect("bans the silent and the one that sends garbage, and finishes with the honest", () =>
    Effect.gen(function* () {
      const faults = ["silent", "garbage", "empty", "short", "skip"] as const
      const bad = faults.map((fault) => fakePeer({ name: fault, served, latencyMs: 20, fault }))
      const honest = fakePeer({ name: "honest", served, latencyMs: 2_000 })
      const { summary, bans, held } = yield* run([...bad, honest], BlockRanges.of(1, 400), {
        requestTimeoutMs: 200 * 20,
      })
      assert.isTrue(summary.complete)
      const banned = summary.peers.top.filter((peer) => peer.banned).map((peer) => peer.client)
      assert.isTrue(banned.includes("fake/garbage"))
      assert.isFalse(banned.some((client) => /empty|short|skip|honest/u.test(client)))
      assert.isAtLeast(bans, 1)
      for (const name of ["malformed", "empty_answer", "truncated", "skipped"]) {
        assert.isAtLeast(summary.failures[name] ?? 0, 1, name)
      }
      assert.strictEqual(held, 0)
    }),
  )

  it.effect("gives up with every peer banned", () =>
    Effect.gen(function* () {
      const silent = fakePeer({ name: "silent", served, latencyMs: 1, fault: "silent" })
      const { summary, bans } = yield* run([silent], BlockRanges.of(1, 40), {
        requestTimeoutMs: 100,
        giveUpMs: 20_000,
      })
      assert.strictEqual(bans, 1)
      assert.deepStrictEqual(summary.failed_blocks, [[1, 40]])
      assert.strictEqual(summary.failures["timeout"], 5)
    }),
  )

  it.effect("holds no more bytes than the budget, however slow the last stage", () =>
    Effect.gen(function* () {
      const peers = ["a", "b", "c", "d"].map((name) => fakePeer({ name, served, latencyMs: 10 }))
      const overrides = { bytesInFlight: 3 * defaults.receiptsAnswerBytes, maxPeers: 4 }
      const { summary, held } = yield* run(peers, BlockRanges.of(1, 400), overrides)
      assert.isTrue(summary.complete)
      assert.isAtMost(
        peers.reduce((sum, peer) => sum + peer.mostOpen(), 0),
        8,
      )
      assert.strictEqual(held, 0)
    }),
  )
})
