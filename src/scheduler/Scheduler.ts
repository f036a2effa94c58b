/**
 * The scheduler's driver: turns what happens into events of the pure core (`core.ts`), and its
 * commands into assignments, counts and the end of the run.
 *
 * In: the pool's joins and leaves, and the stages' reports. Out: a stream of {@link Assignment},
 * and {@link SchedulerShape.finished}. Events are taken one at a time and at once: a step is
 * synchronous, so no queue stands between a report and its effect. What is reported of every single
 * block is a plain call: an Effect for each would cost more than the step.
 *
 * Errors come with their tag; `verdict.ts` says what follows, {@link Blame} books it, and the core
 * is told no more than "attempt", "tried" and "lacks".
 */
import { Clock, Context, Deferred, Duration, Effect, Exit, Layer, Mailbox, Stream } from "effect"
import { BlockRanges } from "../domain/blockRanges.ts"
import { peersOf } from "../domain/fetchedBlock.ts"
import { Blame } from "../fetch/Blame.ts"
import { FetchPlan } from "../fetch/FetchPlan.ts"
import type { FetchError } from "../fetch/FetchError.ts"
import { verdict } from "../fetch/verdict.ts"
import { Stats } from "../observe/Stats.ts"
import type { Peer } from "../peers/Peer.ts"
import { type PeerEvent, PeerPool } from "../peers/PeerPool.ts"
import { Reputation } from "../peers/Reputation.ts"
import { type PeerConsequence, type Standing, harsher } from "../peers/standing.ts"
import { FIRST_SLOTS, Settings } from "../Settings.ts"
import { step } from "./core.ts"
import {
  type Contestant,
  initialState,
  nextWakeMs,
  type SchedulerCommand,
  type SchedulerEvent,
  type SchedulerState,
} from "./model.ts"
import { type RangeChange, Reach } from "./reach.ts"
import type { Assignment, DoneBlock, SchedulerShape } from "./SchedulerShape.ts"
import { WorkList } from "./WorkList.ts"

/** What is kept of an open batch. */
interface OpenBatch {
  readonly peerId: string
  delivered: number
  worst: PeerConsequence
}

/** How often the driver looks whether the core wants to be woken: fine against any cool-down. */
const WAKE_EVERY_MS = 50

/** See {@link SchedulerShape}. */
export class Scheduler extends Context.Tag("annals/Scheduler")<Scheduler, SchedulerShape>() {
  /** Works through the {@link WorkList} with the peers of the pool. */
  static readonly layer: Layer.Layer<
    Scheduler,
    never,
    WorkList | PeerPool | Reputation | Blame | FetchPlan | Stats | Settings
  > = Layer.scoped(
    Scheduler,
    Effect.suspend(() => makeScheduler(false)),
  )

  /** As {@link Scheduler.layer}, of work that has no end: the run is over only after a stop. */
  static readonly layerOpen: typeof Scheduler.layer = Layer.scoped(
    Scheduler,
    Effect.suspend(() => makeScheduler(true)),
  )
}

/** How long who has not got a live block yet is not asked: some round trips, and far below a slot. */
const NOT_YET_MS = 200

const makeScheduler = Effect.fnUntraced(function* (open: boolean) {
  const settings = yield* Settings
  const { kinds } = yield* FetchPlan
  const work = yield* WorkList
  const pool = yield* PeerPool
  const reputation = yield* Reputation
  const blame = yield* Blame
  const stats = yield* Stats
  const clock = yield* Effect.clock
  // At most one item a slot of a connected peer: bounded by maxPeers × slotsPerPeer.
  const assignments = yield* Mailbox.make<Assignment>()
  const finished = yield* Deferred.make<BlockRanges>()
  const peers = new Map<string, Peer>()
  const batches = new Map<number, OpenBatch>()
  let refuted = BlockRanges.empty
  /** Blocks near the head, that peers may be about to get. */
  let live = BlockRanges.empty
  let state = initialState(
    { blocksPerAssignment: settings.blocksPerAssignment, giveUpMs: settings.giveUpMs, open },
    work,
  )
  stats.blocksRequested = work.count

  const run = (command: SchedulerCommand): void => {
    switch (command._tag) {
      case "Assign": {
        const { batchId, peerId, blocks, escalated } = command
        const peer = peers.get(peerId)!
        batches.set(batchId, { peerId, delivered: 0, worst: "none" })
        assignments.unsafeOffer({
          batchId,
          peer,
          fromBlock: blocks.from,
          toBlock: blocks.to,
          escalated,
        })
        return
      }
      case "Requeued":
        stats.requeued += 1
        return
      case "Escalated":
        stats.escalated += 1
        return
      case "Recovered":
        stats.recovered += 1
        return
      case "Finished":
        stats.blocksFailed = command.failed.count
        Deferred.unsafeDone(finished, Exit.succeed(command.failed))
        assignments.unsafeDone(Exit.void)
        return
      case "Accept":
      case "Drop":
      case "Completed":
        return
    }
  }

  /** Takes one event; gives the commands, which are carried out already. */
  const dispatch = (event: WithoutTime<SchedulerEvent>): ReadonlyArray<SchedulerCommand> => {
    const nowMs = clock.unsafeCurrentTimeMillis()
    const [next, commands] = step(state, { ...event, nowMs })
    state = next
    for (const command of commands) run(command)
    return commands
  }

  const giveBack = (
    batchId: number,
    blocks: ReadonlyArray<number>,
    error: FetchError | undefined,
  ): void => {
    const follows = error === undefined ? undefined : verdict(error._tag)
    const { attempt = false, tried = false, lacks = false } = follows ?? {}
    for (const block of blocks) {
      if (error !== undefined && isLack(error) && live.has(block)) {
        const notYet = { attempt: false, tried: true, lacks: false }
        dispatch({ _tag: "BlockFailed", batchId, block, ...notYet })
        continue
      }
      if (follows?.peer === "ban") refuted = refuted.add(block, block)
      dispatch({ _tag: "BlockFailed", batchId, block, attempt, tried, lacks })
    }
  }

  const pause = (peerId: string, standing: Standing): void => {
    const { usableFromMs: untilMs, banned } = standing
    dispatch({ _tag: "PeerPaused", peerId, untilMs, banned })
  }

  /** A lack of what may be there in a moment: no fault, the peer is let rest for as long. */
  const isNotYet = (error: FetchError): boolean =>
    (error._tag === "MissingHeaders" || error._tag === "EmptyAnswer") && live.has(error.fromBlock)
  const restShortly = (peerId: string): void => {
    const untilMs = clock.unsafeCurrentTimeMillis() + NOT_YET_MS
    const peer = state.peers.get(peerId)
    if (peer === undefined || peer.usableFromMs >= untilMs) return
    dispatch({ _tag: "PeerPaused", peerId, untilMs, banned: false })
  }

  const reach = new Reach(kinds)
  const tell = (changes: ReadonlyArray<RangeChange>): void => {
    for (const change of changes) dispatch({ _tag: "PeerRangeChanged", ...change })
  }

  const onPeerEvent = Effect.fnUntraced(function* (event: PeerEvent) {
    if (event._tag === "Left") {
      dispatch({ _tag: "PeerLeft", peerId: event.peerId })
      peers.delete(event.peerId)
      tell(reach.delete(event.peerId))
    } else if (event._tag === "ServesChanged") {
      tell(reach.set(event.peerId, event.serves))
    } else {
      const { peer } = event
      const { peerId } = peer
      const standing = yield* reputation.standing(peerId)
      peers.set(peerId, peer)
      tell(reach.set(peerId, event.serves))
      const slots = Math.min(FIRST_SLOTS, settings.slotsPerPeer)
      const range = reach.of(peerId)
      const { usableFromMs, banned } = standing
      dispatch({ _tag: "PeerJoined", peerId, slots, range, usableFromMs, banned })
    }
  })

  const wake = Effect.flatMap(Clock.currentTimeMillis, (nowMs) =>
    Effect.sync(() => {
      const wakeMs = nextWakeMs(state)
      if (wakeMs !== undefined && wakeMs <= nowMs) dispatch({ _tag: "Tick" })
    }),
  )

  // A driver that dies takes the run with it: nobody would be assigned anything any more.
  const fatal = <A>(effect: Effect.Effect<A>): Effect.Effect<A> =>
    Effect.tapErrorCause(effect, (cause) =>
      Effect.zipRight(Deferred.failCause(finished, cause), assignments.failCause(cause)),
    )
  yield* Stream.runForEach(pool.events, onPeerEvent).pipe(fatal, Effect.forkScoped)
  yield* wake.pipe(
    Effect.zipRight(Effect.sleep(Duration.millis(WAKE_EVERY_MS))),
    Effect.forever,
    fatal,
    Effect.forkScoped,
  )
  // An empty work list is finished before anything happens.
  dispatch({ _tag: "Tick" })

  return {
    assignments: Mailbox.toStream(assignments),
    delivered: (batchId: number, block: number) => {
      const [answer] = dispatch({ _tag: "BlockDelivered", batchId, block })
      const batch = batches.get(batchId)
      if (answer?._tag !== "Accept") return false
      if (batch !== undefined) batch.delivered += 1
      return true
    },
    deliveredLate: (block: number) =>
      dispatch({ _tag: "BlockArrivedLate", block })[0]?._tag === "Accept",
    failed: Effect.fnUntraced(function* (
      batchId: number,
      blocks: ReadonlyArray<number>,
      error: FetchError,
    ) {
      if (isNotYet(error)) {
        restShortly(error.peerId)
        return giveBack(batchId, blocks, error)
      }
      const { peer } = blame.count(error)
      const batch = batches.get(batchId)
      // Before the blocks go back: otherwise another slot of the same peer is given them at once.
      // A batch that fails in several ways is one failure, the harshest.
      if (batch !== undefined && harsher(batch.worst, peer) !== batch.worst) {
        batch.worst = peer
        pause(batch.peerId, yield* blame.punish(batch.peerId, peer))
      }
      // A late answer whose batch is over: too late for a strike, not for a lie.
      if (batch === undefined && peer === "ban") {
        pause(error.peerId, yield* blame.punish(error.peerId, peer))
      }
      giveBack(batchId, blocks, error)
    }),
    returned: giveBack,
    overdue: (batchId: number) => {
      dispatch({ _tag: "BatchOverdue", batchId })
    },
    slots: (peerId: string, count: number) => {
      const slots = Math.max(1, Math.min(count, settings.slotsPerPeer))
      const peer = state.peers.get(peerId)
      if (peer !== undefined && peer.slots !== slots) dispatch({ _tag: "PeerSlots", peerId, slots })
    },
    batchEnded: Effect.fnUntraced(function* (batchId: number) {
      const batch = batches.get(batchId)
      batches.delete(batchId)
      if (batch?.worst === "none" && batch.delivered > 0) {
        yield* reputation.succeeded(batch.peerId)
      }
      dispatch({ _tag: "BatchEnded", batchId })
    }),
    withdrawn: (block: number, peerId: string) =>
      Effect.sync(() => {
        dispatch({ _tag: "BlockRejected", block, peerId })
      }),
    contested: (block: number, peerId: string, others: ReadonlyArray<Contestant>) =>
      Effect.sync(() => {
        const doneBefore = state.done.count
        const knownBefore = knownCount(state)
        dispatch({ _tag: "BlockContested", block, peerId, others })
        stats.blocksSucceeded -= doneBefore - state.done.count
        // What an earlier run had stored was no work of this one; now it is.
        stats.blocksRequested += knownCount(state) - knownBefore
      }),
    disputed: Effect.sync(() => state.disputes.blocks),
    refuted: Effect.sync(() => refuted),
    rejected: Effect.fnUntraced(function* (block: number, error: FetchError) {
      refuted = refuted.add(block, block)
      const { peer } = blame.count(error)
      pause(error.peerId, yield* blame.punish(error.peerId, peer))
      dispatch({ _tag: "BlockRejected", block, peerId: error.peerId })
    }),
    revoked: Effect.fnUntraced(function* (blocks: BlockRanges, error: FetchError | undefined) {
      const peerId = error?.peerId
      if (error !== undefined) {
        pause(error.peerId, yield* blame.punish(error.peerId, blame.count(error).peer))
        refuted = refuted.union(blocks)
      }
      const doneBefore = state.done.count
      dispatch({ _tag: "BlocksRevoked", blocks, peerId })
      stats.blocksSucceeded -= doneBefore - state.done.count
      // What an earlier run had stored was no work of this one; now it is.
      const knownBefore = knownCount(state)
      dispatch({ _tag: "WorkAdded", ranges: blocks.ranges() })
      stats.blocksRequested += knownCount(state) - knownBefore
    }),
    want: (blocks: BlockRanges, isLive: boolean) =>
      Effect.sync(() => {
        if (isLive) live = live.union(blocks)
        const knownBefore = knownCount(state)
        dispatch({ _tag: "WorkAdded", ranges: blocks.ranges() })
        stats.blocksRequested += knownCount(state) - knownBefore
      }),
    forget: (blocks: BlockRanges) =>
      Effect.sync(() => {
        live = live.subtract(blocks)
        refuted = refuted.subtract(blocks)
        const openBefore = knownCount(state) - state.done.count
        dispatch({ _tag: "WorkRemoved", ranges: blocks.ranges() })
        stats.blocksRequested -= openBefore - (knownCount(state) - state.done.count)
      }),
    seen: (peerId: string, has: BlockRanges, lacks: BlockRanges) =>
      Effect.sync(() => {
        if (lacks.count > 0) dispatch({ _tag: "PeerLacks", peerId, blocks: lacks })
        if (has.count > 0) dispatch({ _tag: "PeerHas", peerId, blocks: has })
      }),
    partsWait: (peerId: string, block: number) => {
      dispatch({ _tag: "PartsWait", peerId, block })
      return state.exhausted.has(block) && (state.normal.has(block) || state.escalated.has(block))
    },
    isOpen: (block: number) =>
      state.normal.has(block) || state.escalated.has(block) || state.assigned.has(block),
    doneTo: (fromBlock: number) => state.done.runEnd(fromBlock),
    done: ({ blockNumber, senders, receiptCount }: DoneBlock) => {
      const commands = dispatch({ _tag: "BlockDone", block: blockNumber })
      const completed = commands.some((command) => command._tag === "Completed")
      if (completed) stats.blockSucceeded(peersOf(senders), receiptCount)
      if (refuted.count > 0) refuted = refuted.remove(blockNumber, blockNumber)
      if (live.count > 0) live = live.remove(blockNumber, blockNumber)
    },
    progress: Effect.sync(() => ({
      pending: state.normal.count + state.escalated.count,
      assigned: state.assigned.count,
      delivered: state.delivered.count,
      done: state.done.count,
    })),
    stop: Effect.sync(() => {
      dispatch({ _tag: "Stop" })
    }),
    finished: Deferred.await(finished),
  }
})

/** Whether the peer had nothing of a block, in place of something wrong. */
const isLack = ({ _tag }: FetchError): boolean =>
  _tag === "MissingHeaders" || _tag === "EmptyAnswer" || _tag === "Skipped"

/** Blocks that are or were this run's work. */
const knownCount = (state: SchedulerState): number =>
  state.normal.count +
  state.escalated.count +
  state.assigned.count +
  state.delivered.count +
  state.done.count

/** An event before the driver has looked at the clock. */
type WithoutTime<Event> = Event extends { readonly nowMs: number } ? Omit<Event, "nowMs"> : never
