/** What `/ready` says of a store that somebody fills, and `/health` beside it. */
import { Effect } from "effect"
import { afterEach, assert, describe, it } from "vitest"
import { generateChain } from "../../../src/devnet/generatedChain.ts"
import type { SyncReport } from "../../../src/observe/syncReport.ts"
import { ReadFailed } from "../../../src/rpc/ChainReader.ts"
import { MOST_BEHIND, notReady } from "../../../src/rpc/server/readiness.ts"
import { storedBlocks } from "../fixtureChains.ts"
import { memoryChain } from "../memoryReader.ts"
import { startServer, type TestServer } from "./support.ts"

const following: SyncReport = {
  phase: "following",
  startBlock: 10,
  targetBlock: 50,
  headBlock: 50,
  blocksBehind: 0,
  behindSinceMs: undefined,
  reorgs: 0,
}

type Ranges = ReadonlyArray<readonly [number, number]>

const said = (
  report: Partial<SyncReport> | undefined,
  ranges: Ranges = [[10, 50]],
): string | undefined =>
  notReady(
    { ranges, latest: ranges[0]?.[1] },
    { syncs: true, report: () => report && { ...following, ...report } },
  )

describe("a store that a sync fills", () => {
  it("is ready while the sync follows, not further behind than it may be", () => {
    assert.isUndefined(said({}))
    assert.isUndefined(said({ blocksBehind: MOST_BEHIND }))
    assert.strictEqual(said({ blocksBehind: MOST_BEHIND + 1 }), "3 blocks behind the head")
    assert.strictEqual(said({ blocksBehind: undefined }), "the head is not known")
    assert.strictEqual(said({}, []), "no block is stored")
    assert.strictEqual(said(undefined), "the sync does not say how it stands")
  })

  it("is not while the sync waits, however near the head it is, and says why", () => {
    const stalled = "no peer is there to follow"
    assert.strictEqual(said({ stalled }), `the sync waits: ${stalled}`)
    assert.strictEqual(said({ stalled, blocksBehind: 9 }), `the sync waits: ${stalled}`)
    assert.isUndefined(said({ stalled: undefined }))
  })

  it("is not before the sync follows, and after its end only with the whole of its range", () => {
    assert.strictEqual(said({ phase: "starting" }), "the sync is at its starting")
    assert.strictEqual(said({ phase: "backfill" }), "the sync is at its backfill")
    assert.isUndefined(said({ phase: "ended" }))
    assert.isUndefined(said({ phase: "ended" }, [[0, 60]]))
    const incomplete = "the sync ended before it was complete"
    const ranges: ReadonlyArray<Ranges> = [
      [[11, 50]],
      [[10, 49]],
      [
        [10, 30],
        [32, 50],
      ],
    ]
    for (const some of ranges) assert.strictEqual(said({ phase: "ended" }, some), incomplete)
    assert.strictEqual(said({ phase: "ended", targetBlock: undefined }), incomplete)
  })

  it("is not asked about where nobody fills it", () => {
    const alone = { syncs: false, report: () => undefined }
    assert.isUndefined(notReady({ ranges: [[5, 6]], latest: 6 }, alone))
    assert.strictEqual(notReady({ ranges: [], latest: undefined }, alone), "no block is stored")
  })
})

describe("the pages", () => {
  let server: TestServer
  afterEach(async () => server.stop())

  const page = async (name: string): Promise<readonly [status: number, text: string]> => {
    const response = await fetch(`${server.url}/${name}`)
    return [response.status, (await response.text()).trimEnd()]
  }

  const blocks = storedBlocks(generateChain({ blocks: 5, shape: "tiny", seed: 1 }))

  it("tell of a sync that stands still, and that it goes on; alive it is all the while", async () => {
    let report: SyncReport | undefined = following
    server = await startServer(memoryChain(blocks).reader, {
      sync: { report: () => report, metricsText: Effect.succeed("") },
    })
    const steps: ReadonlyArray<readonly [SyncReport | undefined, string | undefined]> = [
      [following, undefined],
      [{ ...following, stalled: "no peer is there to follow" }, "no peer is there to follow"],
      [{ ...following, blocksBehind: 1 }, undefined],
      [undefined, "does not say how it stands"],
      [following, undefined],
    ]
    for (const [now, lacking] of steps) {
      report = now
      const [status, text] = await page("ready")
      assert.strictEqual(status, lacking === undefined ? 200 : 503)
      if (lacking === undefined) assert.strictEqual(text, "ready")
      else assert.match(text, new RegExp(`^not ready: the sync .*${lacking}$`))
      assert.strictEqual(JSON.parse((await page("status"))[1]).ready, lacking === undefined)
      assert.strictEqual((await page("health"))[0], 200)
    }
  })

  it("are 503 where the store cannot be read, and ready again when it can", async () => {
    const { reader } = memoryChain(blocks)
    let broken = false
    const extent = Effect.suspend(() =>
      broken ? Effect.fail(new ReadFailed({ reason: "the disk is gone" })) : reader.extent,
    )
    server = await startServer({ ...reader, extent })
    assert.strictEqual((await page("ready"))[0], 200)
    broken = true
    for (const name of ["ready", "status", "metrics"]) {
      assert.deepEqual(await page(name), [503, "the stored history cannot be read"])
    }
    assert.strictEqual((await page("health"))[0], 200)
    broken = false
    assert.deepEqual(await page("ready"), [200, "ready"])
  })
})
