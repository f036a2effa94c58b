import { describe, it, assert } from "vitest"
import { FastCheck as fc } from "effect"
import type { BlockRanges } from "../../src/domain/blockRanges.ts"
import { nextWakeMs, ownedBy, type Batch, type SchedulerState } from "../../src/scheduler/model.ts"
import {
  scenario,
  World,
  type Hooks,
  type ModelPeer,
  type Scenario,
  type TimelessEvent,
} from "./world.ts"

const NUM_RUNS = 1_000

/** The property holds in the end of any scenario. */
const always = (property: (scenario: Scenario) => void): void =>
  fc.assert(fc.property(scenario, property), { numRuns: NUM_RUNS })

/** The hooks' checks hold at each step of any scenario. */
const watched = (hooks: Hooks, mayStop = false): void =>
  always((scenario) => {
    new World(scenario, hooks, { mayStop, giveUpMs: 1_500 }).play(scenario.moves)
  })

const expanded = (set: BlockRanges): Array<number> => {
  const blocks: Array<number> = []
  for (const [from, to] of set.ranges()) for (let n = from; n <= to; n++) blocks.push(n)
  return blocks
}

const rising = (blocks: Iterable<number>): Array<number> => [...blocks].sort((a, b) => a - b)

const pendingOf = (state: SchedulerState): Array<number> =>
  rising([...expanded(state.normal), ...expanded(state.escalated)])

const blocksOf = ({ blocks }: { blocks: { from: number; to: number } }): Array<number> =>
  Array.from({ length: blocks.to - blocks.from + 1 }, (_, i) => blocks.from + i)

const ownBlocks = (state: SchedulerState, batch: Batch | undefined): Array<number> => {
  if (batch === undefined) return []
  const owned = ownedBy(state, batch)
  return blocksOf({ blocks: batch }).filter((block) => owned.has(block))
}

/** The blocks that the event took out of the work. */
const removedBy = (event: TimelessEvent, before: SchedulerState): Array<number> =>
  event._tag === "WorkRemoved" && before.phase !== "finished"
    ? [...event.ranges].flatMap(([from, to]) => blocksOf({ blocks: { from, to } }))
    : []

/** The done blocks that had to go for one that was contested. */
const putOutBy = (event: TimelessEvent, before: SchedulerState): Array<number> =>
  event._tag === "BlockContested" && before.delivered.has(event.block)
    ? event.others.flatMap(({ block, putOut }) => (putOut && before.done.has(block) ? [block] : []))
    : []

const attemptsIn = ({ attempted }: SchedulerState, block: number): number =>
  attempted.filter((set) => set.has(block)).length

/** The peer whose slot is to be filled next, if there is anything to fill one with. */
const nextToServe = (world: World): string | undefined =>
  world
    .connected()
    .filter(([, peer]) => world.isFree(peer))
    .sort(([, a], [, b]) => a.turn - b.turn)
    .find(([peerId]) => world.expectedOffer(peerId) !== undefined)?.[0]

const neverAfterTheEnd: Hooks["onAssign"] = (world) => {
  assert.isFalse(world.stopped)
  assert.isUndefined(world.finished)
}

describe("the scheduler's core, in any sequence of moves", () => {
  it("S1 each block is in exactly one place, and is completed once", () => {
    always((scenario) => {
      const completed = new Set<number>()
      const onStep: Hooks["onStep"] = (world, event, commands, before) => {
        const { state } = world
        for (const block of removedBy(event, before)) completed.delete(block)
        for (const block of putOutBy(event, before)) completed.delete(block)
        assert.deepStrictEqual(expanded(state.assigned), rising(world.assigned.keys()))
        assert.deepStrictEqual(expanded(state.delivered), rising(world.delivered.keys()))
        assert.deepStrictEqual(expanded(state.done), rising(world.done))
        assert.deepStrictEqual(
          rising([...pendingOf(state), ...expanded(state.failed)]),
          rising(world.pending),
        )
        for (const command of commands) {
          if (command._tag !== "Completed") continue
          assert.isFalse(completed.has(command.block), "completed twice")
          completed.add(command.block)
        }
        assert.strictEqual(completed.size, world.done.size)
      }
      new World(scenario, { onStep }, { mayStop: true, giveUpMs: 1_500 }).play(scenario.moves)
    })
  })

  it("S2 batches are consecutive, pending, head-gated, not lacking and within the limit", () => {
    watched({
      onAssign: (world, assign) => {
        const peer = world.peers.get(assign.peerId)!
        const blocks = blocksOf(assign)
        assert.isAtLeast(blocks.length, 1)
        assert.isAtMost(blocks.length, world.options.blocksPerAssignment)
        for (const block of blocks) {
          assert.isTrue(world.pending.has(block), `${block} is pending`)
          assert.isAtLeast(block, peer.from)
          assert.isAtMost(block, peer.to)
          assert.isFalse(peer.lacks.has(block), `${block} is not lacking`)
        }
      },
    })
  })

  it("S3 a block with three attempts is offered alone and before all others", () => {
    watched({
      onAssign: (world, assign) => {
        const peer = world.peers.get(assign.peerId)!
        const blocks = blocksOf(assign)
        const isEscalated = (n: number) => world.attemptsOf(n) >= 3
        assert.strictEqual(assign.escalated, blocks.some(isEscalated))
        if (assign.escalated) assert.lengthOf(blocks, 1)
        else {
          const isFirst = (n: number) =>
            isEscalated(n) &&
            !world.exhausted.has(n) &&
            world.isOpenTo(peer, n) &&
            !world.isKeptFrom(assign.peerId, n, (other) => world.isOpenTo(other, n))
          const first = [...world.pending].find(isFirst)
          assert.isUndefined(first, "an escalated block was passed over")
        }
      },
      onStep: (world, _event, commands, before) => {
        for (const command of commands) {
          if (command._tag !== "Escalated") continue
          assert.strictEqual(world.attemptsOf(command.block), 3)
          assert.isFalse(before.attempted[2].has(command.block), "escalated once")
        }
      },
    })
  })

  it("S4 a peer has no more batches than slots", () => {
    watched({
      onAssign: (world, { peerId }) => {
        const peer = world.peers.get(peerId)!
        assert.isBelow(peer.openBatches.size, peer.slots)
      },
      onStep: ({ state, peers }) => {
        for (const { peerId, openBatches } of state.peers.values()) {
          assert.strictEqual(openBatches, peers.get(peerId)?.openBatches.size)
        }
      },
    })
  })

  it("S5 peers that are paused, banned or gone are given nothing", () => {
    watched({
      onAssign: (world, { peerId }) => {
        const peer = world.peers.get(peerId)!
        assert.isTrue(peer.connected)
        assert.isAtMost(peer.usableFromMs, world.nowMs)
      },
    })
  })

  it("S6 a requeue with an attempt counts it, and one without does not", () => {
    watched({
      onStep: (world, event, commands, before) => {
        for (const command of commands) {
          if (command._tag !== "Requeued") continue
          const { block, counted } = command
          const expected =
            event._tag === "BlockRejected" || (event._tag === "BlockFailed" && event.attempt)
          assert.strictEqual(counted, expected)
          assert.isTrue(world.state.requeued.has(block))
          const had = attemptsIn(before, block)
          assert.strictEqual(attemptsIn(world.state, block), counted ? Math.min(3, had + 1) : had)
        }
        for (const block of world.missing()) {
          assert.strictEqual(attemptsIn(world.state, block), world.attemptsOf(block))
        }
      },
    })
  })

  it("S7 no block is offered to a peer twice before all that could have it had it", () => {
    watched({
      onAssign: (world, assign) => {
        const peer = world.peers.get(assign.peerId)!
        for (const block of blocksOf(assign)) {
          if (!peer.tried.has(block)) continue
          assert.isTrue(world.allOthersHadIt(assign.peerId, block), `${block} again`)
        }
      },
    })
  })

  it("S8 a peer that leaves gives its blocks back at once, and late answers are dropped", () => {
    watched({
      onStep: (world, event, commands, before) => {
        if (event._tag === "PeerLeft" && before.phase !== "finished") {
          const held = [...before.batches.values()]
            .filter(({ peerId }) => peerId === event.peerId)
            .flatMap((batch) => ownBlocks(before, batch))
          const returned = commands.flatMap((command) =>
            command._tag === "Requeued" ? [command.block] : [],
          )
          assert.deepStrictEqual(rising(returned), rising(held))
          for (const { peerId } of world.state.batches.values()) {
            assert.notStrictEqual(peerId, event.peerId)
          }
        }
        if (event._tag !== "BlockDelivered") return
        const { batchId, block } = event
        const batch = before.batches.get(batchId)
        const isOpen = [...pendingOf(before), ...expanded(before.assigned)].includes(block)
        const isShared = batch?.shared.has(block) === true && isOpen
        const isOwn = ownBlocks(before, batch).includes(block)
        const isWanted = before.phase !== "finished" && (isOwn || isShared)
        assert.strictEqual(commands[0]?._tag, isWanted ? "Accept" : "Drop")
      },
    })
  })

  it("S9 free slots are filled with the lowest blocks, the longest idle peer first", () => {
    watched({
      onAssign: (world, { peerId, blocks, escalated }) => {
        assert.strictEqual(peerId, nextToServe(world))
        assert.deepStrictEqual({ ...blocks, escalated }, world.expectedOffer(peerId))
      },
      onStep: (world) => {
        if (!world.draining && world.finished === undefined) {
          assert.isUndefined(nextToServe(world), "a slot was left empty")
        }
      },
    })
  })

  it("S10 one honest peer that holds everything finishes from any state", () => {
    always((scenario) => {
      const world = new World(scenario, {}, { giveUpMs: 1e9 }).play(scenario.moves)
      if (world.finished === undefined) world.join(world.honest, 2, 0, 1_000)
      for (let round = 0; round < 1_000 && world.finished === undefined; round++) {
        world.settle((peerId) => peerId === world.honest)
        const idle = world.batches.size === 0 && world.delivered.size === 0
        world.nowMs = idle ? (nextWakeMs(world.state) ?? Infinity) : world.nowMs + 50
        if (world.finished === undefined) world.send({ _tag: "Tick" })
        else return
        assert.isBelow(world.nowMs, 1e9, "only giving up was waited for")
      }
      assert.deepStrictEqual(expanded(world.finished!), [])
      assert.deepStrictEqual(world.missing(), [])
    })
  })

  it("S11 without hope the run ends after giveUpMs and names exactly what is missing", () => {
    const hooks: Hooks = {
      onAssign: (world) => assert.isFalse(world.draining, "assigned after giving up"),
      onStep: (world) => {
        if (world.finished === undefined) {
          assert.strictEqual(world.state.hopelessSinceMs, world.hopelessSinceMs)
          return
        }
        const missing = world.missing()
        assert.deepStrictEqual(expanded(world.finished), missing)
        if (missing.length > 0) assert.isTrue(world.draining, "gave up too early")
      },
    }
    always((scenario) => {
      const world = new World(scenario, hooks, { giveUpMs: 1_500 }).play(scenario.moves)
      // One peer in three leaves, one is banned for long, one stays and fails all it is given.
      world.connected().forEach(([peerId], i) => {
        if (i % 3 === 0) world.send({ _tag: "PeerLeft", peerId })
        if (i % 3 !== 1) return
        world.send({ _tag: "PeerPaused", peerId, untilMs: 1e9, banned: true })
      })
      for (let round = 0; round < 200 && world.finished === undefined; round++) {
        world.settle(() => false)
        world.nowMs += 250
        world.send({ _tag: "Tick" })
      }
      assert.isDefined(world.finished, "it hangs")
    })
  })

  it("S12 nothing is assigned after Stop or after Finished, and Finished comes once", () => {
    always((scenario) => {
      let finishes = 0
      const onStep: Hooks["onStep"] = (world, _event, commands, before) => {
        finishes += commands.filter(({ _tag }) => _tag === "Finished").length
        if (before.phase !== "finished") return
        assert.isTrue(commands.every(({ _tag }) => _tag === "Drop"))
        assert.deepStrictEqual(world.state.failed, before.failed)
      }
      const options = { mayStop: true, giveUpMs: 1_500 }
      const world = new World(scenario, { onAssign: neverAfterTheEnd, onStep }, options).play(
        scenario.moves,
      )
      world.send({ _tag: "Stop" })
      world.settle(() => false)
      assert.isDefined(world.finished)
      world.join("late", 3, 0, 1_000)
      world.send({ _tag: "WorkAdded", ranges: [[1, 9]] })
      assert.strictEqual(finishes, 1)
      assert.strictEqual(world.state.phase, "finished")
    })
  })

  it("S14 what is overdue is shared with idle peers, and whoever is first has brought it", () => {
    let shared = 0
    let secondHand = 0
    watched({
      onStep: ({ state, assigned }, event, commands, before) => {
        if (event._tag === "BlockDelivered") {
          const batch = before.batches.get(event.batchId)
          const isOwn = ownBlocks(before, batch).includes(event.block)
          if (!isOwn && commands[0]?._tag === "Accept") secondHand += 1
          if (commands[0]?._tag !== "Accept") return
          // Of all who are asked for it nobody else can bring it now.
          for (const other of state.batches.values()) {
            assert.notInclude(ownBlocks(state, other), event.block)
          }
        }
        if (event._tag !== "BatchOverdue") return
        const batch = before.batches.get(event.batchId)
        if (batch === undefined) return
        assert.deepStrictEqual(
          commands.filter(({ _tag }) => _tag !== "Assign"),
          [],
        )
        const after = state.batches.get(event.batchId)!
        for (const block of ownBlocks(before, batch)) {
          assert.strictEqual(attemptsIn(state, block), attemptsIn(before, block))
          if (ownBlocks(state, after).includes(block)) continue
          shared += 1
          assert.isTrue(after.shared.has(block))
          const owner = state.batches.get(assigned.get(block) ?? 0)
          assert.notStrictEqual(owner?.peerId, batch.peerId, "offered to the same peer again")
        }
      },
    })
    assert.isAbove(shared, 100)
    assert.isAbove(secondHand, 10)
  })

  it("S13 what was contested rests, longer each time, and goes to whom fewest contradict", () => {
    watched({
      onAssign: (world, assign) => {
        const peer = world.peers.get(assign.peerId)!
        for (const block of blocksOf(assign)) {
          const again = peer.tried.has(block)
          const could = (other: ModelPeer) =>
            again
              ? block >= other.from && block <= other.to && !other.lacks.has(block)
              : world.isOpenTo(other, block)
          assert.isFalse(world.isKeptFrom(assign.peerId, block, could), `${block} is kept back`)
        }
      },
      onStep: ({ state, nowMs }, event, _commands, before) => {
        for (const [block, { times, restsUntilMs }] of state.disputes.byBlock) {
          const known = before.disputes.byBlock.get(block)
          if (known?.times === times && known.restsUntilMs === restsUntilMs) continue
          assert.strictEqual(event._tag, "BlockContested")
          const counts = event._tag === "BlockContested" && event.others.length > 0
          assert.strictEqual(times, (known?.times ?? 0) + (counts ? 1 : 0))
          const restMs = restsUntilMs - nowMs
          assert.isAtLeast(restMs, Math.min(1_000, 50 * 4 ** (times - 1)))
          assert.isAtMost(restMs, 1_000)
          assert.isTrue(state.disputes.resting.has(block))
        }
        for (const block of expanded(state.disputes.resting)) {
          assert.isAbove(state.disputes.byBlock.get(block)!.restsUntilMs, nowMs)
        }
        assert.deepStrictEqual(
          expanded(state.disputes.blocks),
          rising(state.disputes.byBlock.keys()),
        )
      },
    })
  })

  it("tells Recovered for what was completed after a requeue, and for nothing else", () => {
    always((scenario) => {
      const requeued = new Set<number>()
      const onStep: Hooks["onStep"] = (_world, event, commands, before) => {
        for (const block of removedBy(event, before)) requeued.delete(block)
        for (const command of commands) if (command._tag === "Requeued") requeued.add(command.block)
        const told = commands.flatMap((it) => (it._tag === "Recovered" ? [it.block] : []))
        const due = commands.flatMap((it) => (it._tag === "Completed" ? [it.block] : []))
        assert.deepStrictEqual(
          told,
          due.filter((block) => requeued.has(block)),
        )
      }
      new World(scenario, { onStep }).play(scenario.moves)
    })
  })

  it("keeps nothing of blocks that are done", () => {
    always((scenario) => {
      const world = new World(scenario, {}, { giveUpMs: 1e9 }).play(scenario.moves)
      const { done, attempted, requeued, exhausted, marked, peers, departed } = world.state
      const tried = [...peers.values(), ...departed.values()].map((standing) => standing.tried)
      for (const block of expanded(done)) {
        for (const set of [...attempted, requeued, exhausted, marked, ...tried]) {
          assert.isFalse(set.has(block))
        }
      }
    })
  })
})
