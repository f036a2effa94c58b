import { describe, it, assert, vi } from "vitest"
import { BlockRanges, type BlockRange } from "../../src/domain/blockRanges.ts"
import { DEPARTED_MAX, nextWakeMs } from "../../src/scheduler/model.ts"
import { assignments, Run, WIDE } from "./run.ts"
import type { TimelessEvent } from "./world.ts"

const failure = (batchId: number, block: number, lacks = false): TimelessEvent => ({
  _tag: "BlockFailed",
  batchId,
  block,
  attempt: !lacks,
  tried: false,
  lacks,
})

describe("a batch that is overdue", () => {
  it("is not given up while its peer works on it, though who was idle lacks its blocks", () => {
    const run = new Run(BlockRanges.of(1, 4), { giveUpMs: 5_000 })
    run.join("slow")
    run.join("idle")
    assert.deepStrictEqual(assignments(run.send({ _tag: "BatchOverdue", batchId: 1 })), [
      "idle 1-4",
    ])
    const lacking = [1, 2, 3, 4].map((block) => failure(2, block, true))
    run.send(...lacking, { _tag: "BatchEnded", batchId: 2 })
    run.nowMs = 60_000
    run.send({ _tag: "Tick" })
    assert.strictEqual(run.state.phase, "running")
    for (const block of [1, 2, 3, 4]) {
      assert.deepStrictEqual(
        run
          .finish(1, block)
          .map(({ _tag }) => _tag)
          .slice(0, 2),
        ["Accept", "Completed"],
      )
    }
    assert.strictEqual(run.state.phase, "finished")
  })

  it("is given up when its peer is through with it and brought nothing", () => {
    const run = new Run(BlockRanges.of(1, 1), { giveUpMs: 5_000 })
    run.join("slow")
    run.join("idle")
    run.send({ _tag: "BatchOverdue", batchId: 1 })
    run.send(failure(2, 1, true), { _tag: "BatchEnded", batchId: 2 })
    run.nowMs = 60_000
    run.send({ _tag: "PeerLeft", peerId: "slow" }, { _tag: "Tick" })
    run.nowMs = 70_000
    run.send({ _tag: "Tick" })
    assert.strictEqual(run.state.phase, "finished")
  })
})

describe("work that is taken back", () => {
  it("begins anew when it is added again: nobody has tried it or lacks it", () => {
    const run = new Run(BlockRanges.of(1, 3), { open: true })
    run.join("a")
    run.send(failure(1, 2), { _tag: "PeerLacks", peerId: "a", blocks: BlockRanges.of(3, 3) })
    run.send({ _tag: "WorkRemoved", ranges: [[1, 3]] }, { _tag: "WorkAdded", ranges: [[2, 3]] })
    const again = run.send({ _tag: "BatchEnded", batchId: 1 })
    assert.deepStrictEqual(assignments(again), ["a 2-3"])
    assert.strictEqual(run.state.attempted[0].count, 0)
  })

  it("is nobody's any more: what comes of it is dropped", () => {
    const run = new Run(BlockRanges.of(1, 2), { open: true })
    run.join("a")
    run.send({ _tag: "WorkRemoved", ranges: [[1, 1]] })
    const [dropped] = run.send({ _tag: "BlockDelivered", batchId: 1, block: 1 })
    assert.strictEqual(dropped?._tag, "Drop")
    const [kept] = run.send({ _tag: "BlockDelivered", batchId: 1, block: 2 })
    assert.strictEqual(kept?._tag, "Accept")
  })

  it("is over with an open run only after a stop, and then without it", () => {
    const run = new Run(BlockRanges.of(1, 2), { open: true })
    run.join("a")
    run.send({ _tag: "BlockDelivered", batchId: 1, block: 1 }, { _tag: "Stop" })
    const ended = run.send({ _tag: "WorkRemoved", ranges: [[1, 2]] })
    assert.deepStrictEqual(
      ended.map(({ _tag }) => _tag),
      ["Finished"],
    )
  })
})

describe("a peer that is seen to have blocks", () => {
  it("is asked for them again, whatever it was said to lack", () => {
    const run = new Run(BlockRanges.of(1, 2), { open: true })
    run.send({ _tag: "PeerJoined", peerId: "a", slots: 1, range: { from: 0, to: 0 } })
    run.send({ _tag: "PeerLacks", peerId: "a", blocks: BlockRanges.of(1, 2) })
    const wide = run.send({ _tag: "PeerRangeChanged", peerId: "a", range: WIDE })
    assert.deepStrictEqual(assignments(wide), [])
    const seen = run.send({ _tag: "PeerHas", peerId: "a", blocks: BlockRanges.of(1, 2) })
    assert.deepStrictEqual(assignments(seen), ["a 1-2"])
  })
})

/** The peer had its chance at the blocks of a batch; gives what is assigned then. */
const giveBack = (run: Run, batchId: number, blocks: ReadonlyArray<number>): Array<string> =>
  assignments(
    run.send(
      ...blocks.map((block): TimelessEvent => ({
        _tag: "BlockFailed",
        batchId,
        block,
        attempt: false,
        tried: true,
        lacks: false,
      })),
      { _tag: "BatchEnded", batchId },
    ),
  )

describe("blocks of which parts wait", () => {
  it("are offered next to the peer that has the rest, once all had their chance at them", () => {
    const run = new Run(BlockRanges.of(0, 4), { blocksPerAssignment: 1 })
    assert.deepStrictEqual(assignments(run.join("a")), ["a 0-0"])
    for (let block = 0; block < 4; block++) {
      assert.deepStrictEqual(giveBack(run, 1 + block, [block]), [`a ${block + 1}-${block + 1}`])
    }
    assert.deepStrictEqual(giveBack(run, 5, [4]), ["a 0-0"], "a new round")
    run.send({ _tag: "PartsWait", peerId: "a", block: 3 })
    assert.deepStrictEqual(giveBack(run, 6, [0]), ["a 1-1"], "block 3 had no second chance yet")
    run.send({ _tag: "PartsWait", peerId: "a", block: 0 })
    assert.deepStrictEqual(giveBack(run, 7, [1]), ["a 0-0"])
  })

  it("give no hope", () => {
    const run = new Run(BlockRanges.of(0, 1), { giveUpMs: 1_000, blocksPerAssignment: 1 })
    run.join("a")
    giveBack(run, 1, [0])
    giveBack(run, 2, [1])
    for (let batchId = 3; run.state.phase === "running"; batchId++) {
      assert.isBelow(run.nowMs, 1_100)
      run.nowMs += 100
      const [owned] = [...run.state.batches.values()]
      run.send({ _tag: "PartsWait", peerId: "a", block: 1 - owned!.from })
      giveBack(run, batchId, [owned!.from])
    }
    assert.deepStrictEqual([...run.state.failed.ranges()], [[0, 1]])
  })
})

describe("the scheduler's core, case by case", () => {
  it("fills slots round the peers: everybody's first before anybody's second", () => {
    const run = new Run(BlockRanges.of(0, 999), { open: true })
    run.send({ _tag: "WorkAdded", ranges: [] })
    run.nowMs = 5
    for (const peerId of ["a", "b"]) {
      run.send({ _tag: "PeerJoined", peerId, slots: 2, range: WIDE, usableFromMs: 10 })
    }
    assert.strictEqual(nextWakeMs(run.state), 10)
    run.nowMs = 10
    assert.deepStrictEqual(assignments(run.send({ _tag: "Tick" })), [
      "a 0-31",
      "b 32-63",
      "a 64-95",
      "b 96-127",
    ])
  })

  it("escalates a block after three attempts and offers it alone to who has not had it", () => {
    const run = new Run(BlockRanges.of(0, 1), { blocksPerAssignment: 2 })
    run.join("a")
    run.send(failure(1, 0))
    run.join("b")
    run.join("c")
    run.join("d")
    assert.deepStrictEqual(assignments(run.told), ["a 0-1", "b 0-0"])
    assert.deepStrictEqual(assignments(run.send(failure(2, 0))), ["c 0-0"])
    const third = run.send(failure(3, 0))
    assert.deepStrictEqual(third.slice(0, 2), [
      { _tag: "Requeued", block: 0, counted: true },
      { _tag: "Escalated", block: 0 },
    ])
    assert.deepInclude(third[2], { peerId: "d", escalated: true })
    assert.deepStrictEqual(run.finish(4, 0).slice(1), [
      { _tag: "Completed", block: 0 },
      { _tag: "Recovered", block: 0 },
    ])
    assert.deepStrictEqual(run.finish(1, 1).at(-1), {
      _tag: "Finished",
      failed: BlockRanges.empty,
    })
  })

  it("offers what a peer had its chance at to others first, and escalates nothing for it", () => {
    const run = new Run(BlockRanges.of(0, 0))
    run.join("a")
    run.join("b")
    const chance = (batchId: number): ReadonlyArray<string> =>
      assignments(
        run.send(
          { _tag: "BlockFailed", batchId, block: 0, attempt: false, tried: true, lacks: false },
          { _tag: "BatchEnded", batchId },
        ),
      )
    assert.deepStrictEqual(assignments(run.told), ["a 0-0"])
    assert.deepStrictEqual(chance(1), ["b 0-0"])
    // Both had their chance: a new round, for as long as the core waits.
    assert.deepStrictEqual(chance(2), ["a 0-0"])
    assert.strictEqual(run.state.hopelessSinceMs, 0)
    for (let batchId = 3; batchId < 9; batchId++) assert.lengthOf(chance(batchId), 1)
    assert.strictEqual(run.state.attempted[0].count, 0)
    assert.strictEqual(run.state.escalated.count, 0)
  })

  it("takes a late answer for a block that waits, and drops it when somebody else has it", () => {
    const run = new Run(BlockRanges.of(0, 0))
    run.join("a")
    run.send(failure(1, 0), { _tag: "PeerPaused", peerId: "a", untilMs: 9_000, banned: false })
    run.send({ _tag: "BatchEnded", batchId: 1 })
    const late: TimelessEvent = { _tag: "BlockArrivedLate", block: 0 }
    assert.deepStrictEqual(run.send(late), [{ _tag: "Accept", batchId: 0, block: 0 }])
    assert.deepStrictEqual(run.send(late), [{ _tag: "Drop", batchId: 0, block: 0 }])
    assert.deepStrictEqual(
      run.send({ _tag: "BlockDone", block: 0 }).map((command) => command._tag),
      ["Completed", "Recovered", "Finished"],
    )
    assert.deepStrictEqual(run.send(late), [{ _tag: "Drop", batchId: 0, block: 0 }])
  })

  it("drops a late answer for a block that another peer was given meanwhile", () => {
    const run = new Run(BlockRanges.of(0, 0))
    run.join("a")
    run.join("b")
    assert.deepStrictEqual(assignments(run.send(failure(1, 0))), ["b 0-0"])
    const late = run.send({ _tag: "BlockArrivedLate", block: 0 })
    assert.deepStrictEqual(late, [{ _tag: "Drop", batchId: 0, block: 0 }])
  })

  it("offers what was revoked to another peer than the one that had sent it", () => {
    const run = new Run(BlockRanges.of(0, 3))
    run.join("a")
    for (const block of [0, 1, 2]) run.finish(1, block)
    run.join("b")
    const blocks = BlockRanges.of(1, 2)
    const told = run.send({ _tag: "BlocksRevoked", blocks, peerId: "a" })
    assert.deepStrictEqual(assignments(told), ["b 1-2"])
    assert.strictEqual(run.state.done.count, 1)
    // What was never done cannot be revoked.
    run.send({ _tag: "BlocksRevoked", blocks: BlockRanges.of(3, 9), peerId: "a" })
    assert.strictEqual(run.state.assigned.count, 3)
    run.send({ _tag: "BatchEnded", batchId: 1 })
    run.finish(2, 1)
    run.finish(2, 2)
    assert.strictEqual(run.state.done.count, 3)
  })

  it("gives up without any peer, and says when it wants to be woken for it", () => {
    const run = new Run(BlockRanges.of(7, 9))
    run.send({ _tag: "Tick" })
    assert.strictEqual(nextWakeMs(run.state), 60_000)
    run.nowMs = 59_999
    assert.deepStrictEqual(run.send({ _tag: "Tick" }), [])
    run.nowMs = 60_000
    const [finished] = run.send({ _tag: "Tick" })
    assert.strictEqual(finished?._tag, "Finished")
    assert.deepStrictEqual([...run.state.failed.ranges()], [[7, 9]])
    assert.isUndefined(nextWakeMs(run.state))
  })

  it("takes no hope from a peer that comes and goes, but from a new one", () => {
    const run = new Run(BlockRanges.of(0, 0))
    run.join("a")
    run.send({ _tag: "PeerLeft", peerId: "a" })
    assert.strictEqual(run.state.hopelessSinceMs, 0)
    for (let i = 1; i <= 5; i++) {
      run.nowMs = i * 1_000
      run.join("a")
      run.nowMs += 500
      run.send({ _tag: "PeerLeft", peerId: "a" })
      assert.strictEqual(run.state.hopelessSinceMs, 0)
    }
    run.join("b", 1, { from: 5, to: 9 })
    assert.strictEqual(run.state.hopelessSinceMs, run.nowMs)
  })

  it("remembers a bounded number of peers that left, the latest ones", () => {
    const run = new Run(BlockRanges.of(0, 9), { giveUpMs: 1e9 })
    for (let i = 0; i < DEPARTED_MAX + 5; i++) {
      run.join(`p${i}`)
      run.send({ _tag: "PeerLeft", peerId: `p${i}` })
    }
    assert.strictEqual(run.state.departed.size, DEPARTED_MAX)
    assert.isFalse(run.state.departed.has("p4"))
    assert.isTrue(run.state.departed.has("p5"))
    assert.strictEqual(run.state.batches.size, 0)
  })

  it("does not hand a block that is exhausted round while normal work is left", () => {
    const run = new Run(BlockRanges.of(0, 3), { blocksPerAssignment: 1 })
    run.join("a")
    for (const [batchId, block] of [0, 1, 2, 3].entries()) {
      run.send(failure(batchId + 1, block), { _tag: "BatchEnded", batchId: batchId + 1 })
    }
    assert.deepStrictEqual(assignments(run.told), ["a 0-0", "a 1-1", "a 2-2", "a 3-3", "a 0-0"])
    // The others have their turn before block 0 has its third chance.
    run.send(failure(5, 0), { _tag: "BatchEnded", batchId: 5 })
    assert.deepStrictEqual(assignments(run.told).slice(5), ["a 1-1"])
  })

  it("never finishes by itself when work may come, and takes what is added", () => {
    const run = new Run(BlockRanges.empty, { open: true })
    run.join("a")
    run.nowMs = 1e9
    assert.deepStrictEqual(run.send({ _tag: "Tick" }), [])
    assert.deepStrictEqual(assignments(run.send({ _tag: "WorkAdded", ranges: [[5, 6]] })), [
      "a 5-6",
    ])
    run.finish(1, 5)
    run.send({ _tag: "WorkAdded", ranges: [[4, 6]] }, { _tag: "BatchEnded", batchId: 1 })
    assert.deepStrictEqual(assignments(run.told), ["a 5-6", "a 4-4"])
    run.send({ _tag: "PeerLeft", peerId: "a" })
    run.nowMs = 2e9
    assert.deepStrictEqual(run.send({ _tag: "Tick" }), [])
    assert.strictEqual(run.send({ _tag: "Stop" })[0]?._tag, "Finished")
    assert.deepStrictEqual(
      [...run.state.failed.ranges()],
      [
        [4, 4],
        [6, 6],
      ],
    )
  })

  it("lets a peer rest from the moment it joins when the reputation says so", () => {
    const run = new Run(BlockRanges.of(0, 9))
    const event: TimelessEvent = {
      _tag: "PeerJoined",
      peerId: "a",
      slots: 1,
      range: WIDE,
      usableFromMs: 120_000,
      banned: true,
    }
    assert.deepStrictEqual(run.send(event), [])
    assert.strictEqual(run.state.hopelessSinceMs, 0, "nobody waits for a banned peer")
    run.send({ _tag: "PeerPaused", peerId: "a", untilMs: 30_000, banned: false })
    assert.isUndefined(run.state.hopelessSinceMs, "a cool-down is waited for")
    assert.strictEqual(nextWakeMs(run.state), 30_000)
    run.nowMs = 30_000
    assert.deepStrictEqual(assignments(run.send({ _tag: "Tick" })), ["a 0-9"])
  })
})

const METHODS = ["has", "next", "runEnd", "add", "remove"] as const

/** How many range operations `work` takes. */
const operations = (work: () => void): number => {
  const spies = METHODS.map((name) => vi.spyOn(BlockRanges.prototype, name))
  try {
    work()
    return spies.reduce((calls, spy) => calls + spy.mock.calls.length, 0)
  } finally {
    for (const spy of spies) spy.mockRestore()
  }
}

/** Every `stride`-th block, each a range of its own. */
const singles = (from: number, to: number, stride: number): BlockRanges => {
  const ranges: Array<BlockRange> = []
  for (let n = from; n <= to; n += stride) ranges.push([n, n])
  return BlockRanges.fromRanges(ranges)
}

/** Lets every open batch be fetched and done, block by block; gives the number of events. */
const serve = (run: Run): number => {
  let events = 0
  const batches = [...run.state.batches.values()]
  for (const { batchId, from, to } of batches) {
    for (let block = from; block <= to; block++) {
      run.finish(batchId, block)
      events += 2
    }
    run.send({ _tag: "BatchEnded", batchId })
    events += 1
  }
  return events
}

describe("the cost of a step", () => {
  it("stays flat with every second of a million blocks done", () => {
    const run = new Run(singles(0, 999_999, 2))
    for (let i = 0; i < 50; i++) run.join(`p${i}`)
    let events = 0
    const calls = operations(() => {
      for (let round = 0; round < 20; round++) events += serve(run)
    })
    assert.isAtLeast(events, 3_000)
    assert.isAtMost(calls / events, 40)
  })

  it("stays flat beside a peer that lacks a quarter of a million scattered blocks", () => {
    const run = new Run(singles(0, 999_999, 2))
    run.send(
      { _tag: "PeerJoined", peerId: "poor", slots: 1, range: WIDE, usableFromMs: 1 },
      { _tag: "PeerLacks", peerId: "poor", blocks: singles(0, 499_999, 2) },
    )
    run.nowMs = 1
    // The first search leaps over what it lacks, once.
    assert.deepStrictEqual(assignments(run.send({ _tag: "Tick" })), ["poor 500000-500000"])
    run.join("rich")
    let events = 0
    const calls = operations(() => {
      for (let round = 0; round < 100; round++) events += serve(run)
    })
    assert.isAtLeast(events, 600)
    assert.isAtMost(calls / events, 40)
  })

  it("holds 25 million pending blocks in one range", () => {
    const run = new Run(BlockRanges.of(0, 24_999_999))
    for (let i = 0; i < 50; i++) run.join(`p${i}`)
    const { normal, assigned, done } = run.state
    assert.strictEqual(normal.rangeCount + assigned.rangeCount + done.rangeCount, 2)
  })
})
