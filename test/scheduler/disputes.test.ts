import { assert, describe, it } from "vitest"
import { BlockRanges } from "../../src/domain/blockRanges.ts"
import { contested, noDisputes, opposed, restMs } from "../../src/scheduler/disputes.ts"
import { type Contestant, nextWakeMs } from "../../src/scheduler/model.ts"
import { assignments, Run } from "./run.ts"

/**
 * A run in which "a" has sent blocks 0 and 1, which are done, and "b" has sent 2 and 3, of which 2 is
 * about to be contested; others join it with nothing to do.
 */
const dispute = (...others: ReadonlyArray<string>): Run => {
  const run = new Run(BlockRanges.of(0, 3), { blocksPerAssignment: 2, open: true })
  for (const peerId of ["a", "b", ...others]) run.join(peerId)
  for (const block of [0, 1]) run.finish(1, block)
  run.finish(2, 3)
  run.send({ _tag: "BlockDelivered", batchId: 2, block: 2 })
  run.send({ _tag: "BatchEnded", batchId: 1 }, { _tag: "BatchEnded", batchId: 2 })
  return run
}

const contest = (run: Run, block: number, peerId: string, ...others: ReadonlyArray<Contestant>) =>
  assignments(run.send({ _tag: "BlockContested", block, peerId, others }))

/** Lets the rest end; gives what is assigned then. */
const afterRest = (run: Run): ReadonlyArray<string> => {
  run.nowMs = nextWakeMs(run.state)!
  return assignments(run.send({ _tag: "Tick" }))
}

const ofA: Contestant = { block: 1, peerId: "a", putOut: true }

describe("blocks that are contested", () => {
  it("rest, and are then asked for together of whom nothing had to go", () => {
    const run = dispute()
    assert.deepStrictEqual(contest(run, 2, "b", ofA), [])
    assert.deepStrictEqual([...run.state.normal.ranges()], [[1, 2]])
    assert.strictEqual(nextWakeMs(run.state), restMs(1))
    run.nowMs = restMs(1) - 1
    assert.deepStrictEqual(assignments(run.send({ _tag: "Tick" })), [])
    assert.deepStrictEqual(afterRest(run), ["b 1-2"])
    assert.strictEqual(run.state.attempted[0].count, 0)
  })

  it("are asked for of whom nobody contradicts, where there is somebody", () => {
    const run = dispute("c")
    contest(run, 2, "b", ofA)
    assert.deepStrictEqual(afterRest(run), ["c 1-2"])
  })

  it("are given to whom more contradict once the others had their chance", () => {
    const run = dispute("c")
    contest(run, 2, "b", ofA)
    assert.deepStrictEqual(afterRest(run), ["c 1-2"])
    run.send({ _tag: "PeerPaused", peerId: "c", untilMs: 10_000, banned: false })
    const failed = { attempt: false, tried: true, lacks: false }
    for (const block of [1, 2]) {
      assert.deepStrictEqual(assignments(run.send({ _tag: "Tick" })), [])
      run.send({ _tag: "BlockFailed", batchId: 3, block, ...failed })
    }
    assert.deepStrictEqual(
      assignments(run.told)
        .filter((text) => text.startsWith("b"))
        .slice(1),
      ["b 1-1"],
    )
  })

  it("make a loser of whom more contradict, whosever block had to go", () => {
    const run = dispute("c")
    contest(run, 2, "b", ofA)
    assert.deepStrictEqual(afterRest(run), ["c 1-2"])
    // Now "a" comes with a block that puts one of "c" out: two contradict "a", one "c".
    run.finish(3, 1)
    run.finish(3, 2)
    run.send({ _tag: "BatchEnded", batchId: 3 })
    run.send({ _tag: "WorkAdded", ranges: [[4, 5]] })
    const batchId = [...run.state.batches.values()].find(({ peerId }) => peerId === "a")!.batchId
    run.send({ _tag: "BlockDelivered", batchId, block: 4 })
    contest(run, 4, "a", { block: 3, peerId: "c", putOut: true })
    assert.isTrue(run.state.peers.get("a")!.tried.has(4))
    assert.isTrue(run.state.peers.get("a")!.tried.has(3))
    assert.isFalse(run.state.peers.get("c")!.tried.has(3))
  })

  it("are asked for last of whoever contradicts itself, banned peers aside", () => {
    const run = dispute("c")
    contest(run, 2, "b", { ...ofA, peerId: "b" })
    run.send({ _tag: "PeerPaused", peerId: "c", untilMs: 10_000, banned: true })
    assert.deepStrictEqual(afterRest(run), ["a 1-2"])
  })

  it("are nobody's fault where it is not known who had sent what had to go", () => {
    const run = dispute()
    contest(run, 2, "b", { ...ofA, peerId: undefined })
    assert.isFalse(run.state.peers.get("a")!.tried.has(1))
    assert.isFalse(run.state.peers.get("b")!.tried.has(2))
    assert.lengthOf(afterRest(run), 1)
  })

  it("are not asked for again of who contradicts what stays", () => {
    const run = dispute()
    contest(run, 2, "b", { ...ofA, putOut: false })
    assert.deepStrictEqual(
      [...run.state.done.ranges()],
      [
        [0, 1],
        [3, 3],
      ],
    )
    assert.deepStrictEqual(afterRest(run), ["a 2-2"])
  })

  it("become work where an earlier run had stored what had to go", () => {
    const run = dispute()
    contest(run, 2, "b", { block: 9, peerId: undefined, putOut: true })
    assert.isTrue(run.state.normal.has(9))
  })
})

describe("what is remembered of disputes", () => {
  it("is bounded by heights", () => {
    let disputes = noDisputes
    for (let block = 0; block < 5_000; block++) disputes = contested(disputes, [block], 0)
    assert.strictEqual(disputes.byBlock.size, 4_096)
    assert.strictEqual(disputes.blocks.count, 4_096)
    assert.isFalse(disputes.resting.has(5_000 - 4_097))
    assert.isTrue(disputes.resting.has(5_000 - 4_096))
  })

  it("is bounded by peers, and by opponents of each", () => {
    let disputes = noDisputes
    for (let at = 0; at < 1_500; at++) disputes = opposed(disputes, `a${at}`, `b${at % 3}`)
    assert.strictEqual(disputes.opponents.size, 1_000)
    for (const opponents of disputes.opponents.values()) assert.isAtMost(opponents.size, 64)
  })
})
