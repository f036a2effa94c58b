/**
 * Batches in, blocks out. For each assignment of the scheduler: the headers in one rising request,
 * checked and hashed; then the parts that the {@link FetchPlan} asks for, kinds side by side; each
 * block is handed on as soon as it is whole. What fails goes back to the scheduler, block by block,
 * with the tagged error.
 *
 * A peer is asked only for what it is known to serve ({@link PeerPool}); parts of blocks that it
 * cannot make whole wait in a larder for who fetches the rest.
 *
 * In: {@link Scheduler} assignments. Out: a stream of {@link FetchedBlock} from a bounded queue; a
 * block that leaves here was accepted by the scheduler as delivered, and holds its bytes of the
 * {@link ByteGate} until the last stage gives them back.
 *
 * Invariants:
 * - bytes are reserved before they are asked for, and nobody waits for bytes who holds some but the
 *   headers, for which there is room of its own;
 * - every block of a batch is delivered or goes back before the batch ends;
 * - a batch that was of no use keeps its slot for a rest, so that peers that can only serve parts
 *   neither spin nor run ahead of those that have the rest;
 * - parts that are empty by their header's root cost no request.
 */
import { Clock, Context, Duration, Effect, Layer, Mailbox, Stream } from "effect"
import type { FetchedBlock } from "../domain/fetchedBlock.ts"
import { Stats } from "../observe/Stats.ts"
import type { Peer } from "../peers/Peer.ts"
import type { PeerPool } from "../peers/PeerPool.ts"
import { Scheduler } from "../scheduler/Scheduler.ts"
import type { Assignment } from "../scheduler/SchedulerShape.ts"
import { Settings } from "../Settings.ts"
import { endOrFail } from "./EndOrFail.ts"
import { fittingHeaders } from "./fittingHeaders.ts"
import { type BatchAssembly, type BatchOutcome, makeAssembler } from "./BatchAssembly.ts"
import { ByteGate, HEADERS_OVERDRAW } from "./ByteGate.ts"
import { checkHeaders, type HashedHeader } from "./checkHeaders.ts"
import { MissingHeaders, Truncated, WrongHeader } from "./FetchError.ts"
import { FetchPlan } from "./FetchPlan.ts"
import { Larder } from "./larder.ts"
import { makePartFetch, type PartFetch } from "./PartFetch.ts"
import { watchOverdue } from "./OverdueWatch.ts"
import { makePeerLanes, type PartKind, type PeerLanes } from "./PeerLanes.ts"
import { makeReceiptsMethod } from "./ReceiptsFetch.ts"

/** See the module. */
export interface FetcherShape {
  /**
   * Those that became whole together, with one answer mostly; never none. Ends when the scheduler has
   * no more assignments and all batches are through.
   */
  readonly blocks: Stream.Stream<ReadonlyArray<FetchedBlock>>
}

/** See {@link FetcherShape}. */
export class Fetcher extends Context.Tag("annals/Fetcher")<Fetcher, FetcherShape>() {
  /** Fetches what the plan asks for. */
  static readonly layer: Layer.Layer<
    Fetcher,
    never,
    Scheduler | PeerPool | ByteGate | FetchPlan | Settings | Stats
  > = Layer.scoped(
    Fetcher,
    Effect.gen(function* () {
      const settings = yield* Settings
      const scheduler = yield* Scheduler
      const out = yield* Mailbox.make<ReadonlyArray<FetchedBlock>>({
        capacity: settings.stageQueueGroups,
      })
      const fetchBatch = yield* makeBatchFetch(out)
      yield* scheduler.assignments.pipe(
        // A scheduler never assigns more batches than the connected peers have slots.
        Stream.mapEffect(fetchBatch, { concurrency: "unbounded", unordered: true }),
        // What is still asked for when the run is over was asked of others too, who were faster.
        Stream.interruptWhen(scheduler.finished),
        Stream.runDrain,
        Effect.onExit((exit) => endOrFail(out, exit)),
        Effect.forkScoped,
      )
      return { blocks: Mailbox.toStream(out) }
    }),
  )
}

/** Gives the effect that fetches one batch; it never fails, the scheduler hears of failures. */
const makeBatchFetch = Effect.fnUntraced(function* (
  out: Mailbox.Mailbox<ReadonlyArray<FetchedBlock>>,
) {
  const plan = yield* FetchPlan
  const scheduler = yield* Scheduler
  const stats = yield* Stats
  const scope = yield* Effect.scope
  const lanes = yield* makePeerLanes(scope)
  const { larderBytes, larderMs } = yield* Settings
  const { assemble, roomMade } = yield* makeAssembler(
    new Larder(larderBytes, larderMs),
    (peer, kind, gasUsed) => lanes.reserveFor(peer, kind, [gasUsed]),
    (blocks) => out.offer(blocks),
  )
  const rests = yield* makeRests
  const overdue = yield* watchOverdue
  const fetchReceipts = yield* makePartFetch(lanes, yield* makeReceiptsMethod(lanes))
  const fetchBodies =
    plan.bodies === undefined ? undefined : yield* makePartFetch(lanes, yield* plan.bodies)
  const fetchHeaders = yield* makeHeadersFetch(lanes)
  const kinds: ReadonlyArray<readonly [PartKind, PartFetch]> =
    fetchBodies === undefined
      ? [["receipts", fetchReceipts]]
      : [
          ["bodies", fetchBodies],
          ["receipts", fetchReceipts],
        ]

  /** One turn: the parts of some blocks, kinds side by side. Afterwards nothing of it is held. */
  const fetchSome = (
    assignment: Assignment,
    assembly: BatchAssembly,
    blocks: ReadonlyArray<HashedHeader>,
  ): Effect.Effect<void> => {
    const { peer } = assignment
    const requests = kinds.flatMap(([kind, fetch]) => {
      const needing = blocks.filter((block) => assembly.needs(kind, block))
      if (needing.length === 0) return []
      const gasUsed = needing.map((block) => block.header.gasUsed)
      const reservedBytes = lanes.reserveFor(peer, kind, gasUsed)
      const job = { assignment, blocks: needing, sink: assembly }
      return [{ kind, reservedBytes, run: fetch(job, reservedBytes) }]
    })
    const turnOver = assembly.turnOver(blocks)
    if (requests.length === 0) return turnOver
    const bytes = requests.reduce((sum, { reservedBytes }) => sum + reservedBytes, 0)
    const kindsAsked = requests.map(({ kind }) => kind)
    const run = Effect.all(
      requests.map(({ run }) => run),
      { concurrency: "unbounded", discard: true },
    )
    return Effect.zipRight(lanes.inTurn(peer, kindsAsked, bytes, run), turnOver)
  }

  /** All parts of the batch, some blocks at a time. */
  const fetchParts = (assignment: Assignment, assembly: BatchAssembly): Effect.Effect<void> => {
    const open = assembly.open()
    let at = 0
    // Each turn takes the next blocks: by then earlier answers have taught what blocks weigh.
    const turns = Effect.whileLoop({
      while: () => at < open.length,
      body: () => {
        const rest = open.slice(at)
        const count = Math.min(
          ...kinds.map(([kind]) => {
            const gasUsed = rest.map((block) =>
              assembly.needs(kind, block) ? block.header.gasUsed : 0,
            )
            return lanes.nextCount(assignment.peer, kind, gasUsed)
          }),
        )
        at += count
        return fetchSome(assignment, assembly, rest.slice(0, count))
      },
      step: () => undefined,
    })
    const workers = Array.from({ length: lanes.atOnce(assignment.peer) }, () => turns)
    return Effect.all(workers, { concurrency: "unbounded", discard: true })
  }

  return Effect.fnUntraced(function* (assignment: Assignment) {
    const { batchId, fromBlock, toBlock, peer } = assignment
    const startedMs = yield* Clock.currentTimeMillis
    overdue.began(batchId, startedMs)
    const assembly = assemble(assignment, startedMs, rests.isPatient(peer))
    yield* fetchHeaders(assignment, (headers) =>
      Effect.zipRight(
        assembly.begin(headers),
        Effect.suspend(() => fetchParts(assignment, assembly)),
      ),
    ).pipe(
      Effect.catchAll((error) => scheduler.failed(batchId, numbers(fromBlock, toBlock), error)),
      Effect.onInterrupt(() => Effect.sync(assembly.abandon)),
    )
    const endedMs = yield* Clock.currentTimeMillis
    stats.batchEnded(peer.peerId, endedMs - startedMs)
    overdue.ended(batchId, endedMs, assembly.outcome().delivered > 0)
    // One batch's headers travel beside the parts of the others.
    scheduler.slots(peer.peerId, 1 + lanes.atOnce(peer))
    const rest = rests.after(peer, assembly.outcome(), roomMade)
    if (rest === undefined) return yield* scheduler.batchEnded(batchId)
    // In the background: a run that ends meanwhile does not wait for it.
    yield* Effect.forkIn(Effect.zipRight(rest, scheduler.batchEnded(batchId)), scope)
  })
})

/** A rest is never shorter, in ms: a peer that finds no room twice is not asked at full speed. */
const LEAST_REST_MS = 100
/**
 * A rest doubles this often, to 4 s with the default pause: a peer that has the rest of the blocks
 * may come at any time, and nobody shall sleep long past that. For as many rests a peer waits for
 * room in the larder with the blocks that it is offered; then it goes on to others.
 */
const MOST_REST_DOUBLINGS = 3

/**
 * The rests of a slot after batches that were of no use: that made no block whole and left nothing
 * in the larder. Their peer, which serves parts only, has had these blocks before, or is as far ahead
 * of who has the rest as there is room; then it goes on as soon as room is made.
 */
const makeRests = Effect.map(Settings, ({ coolDownMs }) => {
  /** How often in a row a peer's batches were of no use. */
  const inRow = new WeakMap<Peer, number>()

  return {
    /** Whether the peer waits for room yet. */
    isPatient: (peer: Peer): boolean => (inRow.get(peer) ?? 0) < MOST_REST_DOUBLINGS,
    /** The rest after a batch; undefined where it was of use. */
    after: (
      peer: Peer,
      { delivered, partlyServed, turnedAway, stored, pointed }: BatchOutcome,
      roomMade: Effect.Effect<void>,
    ): Effect.Effect<void> | undefined => {
      const useless = partlyServed + turnedAway > 0 && delivered + stored === 0
      const before = inRow.get(peer) ?? 0
      inRow.set(peer, useless ? before + 1 : 0)
      if (!useless) return undefined
      // What it gets next is no batch like this one; should it be of no use either, it rests then.
      if (pointed) return Effect.sleep(Duration.millis(LEAST_REST_MS))
      const restMs = coolDownMs * 2 ** Math.min(before, MOST_REST_DOUBLINGS)
      const rest = Effect.sleep(Duration.millis(restMs))
      return turnedAway === 0
        ? rest
        : Effect.race(rest, Effect.delay(roomMade, Duration.millis(LEAST_REST_MS)))
    },
  }
})

/** Gives the effect that asks for a batch's headers and hands them to `use`, their bytes held. */
const makeHeadersFetch = Effect.fnUntraced(function* (lanes: PeerLanes) {
  const { headerBytes } = yield* Settings
  const scheduler = yield* Scheduler
  const gate = yield* ByteGate

  const check = Effect.fnUntraced(function* (
    assignment: Assignment,
    items: ReadonlyArray<Uint8Array>,
  ) {
    const { batchId, fromBlock, toBlock, peer } = assignment
    const { peerId } = peer
    const asked = toBlock - fromBlock + 1
    const got = items.length
    if (got === 0) return yield* new MissingHeaders({ peerId, fromBlock, asked })
    const headers = checkHeaders(fromBlock, items)
    if ("what" in headers) return yield* new WrongHeader({ peerId, ...headers })
    if (got < asked) {
      const cut = new Truncated({ peerId, asked, got })
      yield* scheduler.failed(batchId, numbers(fromBlock + got, toBlock), cut)
    }
    return headers
  })

  return Effect.fn("Fetcher.headers")(function* (
    assignment: Assignment,
    use: (headers: Effect.Effect.Success<ReturnType<typeof check>>) => Effect.Effect<void>,
  ) {
    const { fromBlock, toBlock, peer } = assignment
    const limit = toBlock - fromBlock + 1
    const reservedBytes = limit * headerBytes
    const ask = lanes.ask({
      peer,
      kind: "headers",
      reservedBytes,
      send: (timeoutMs) =>
        peer.getBlockHeaders({ start: fromBlock, limit, skip: 0, reverse: false }, timeoutMs),
    })
    const answer = yield* lanes.inTurn(peer, ["headers"], reservedBytes, ask)
    const { headers, heldBytes } = fittingHeaders(answer, HEADERS_OVERDRAW * reservedBytes)
    gate.release(answer.bytes - heldBytes)
    yield* check(assignment, headers).pipe(
      Effect.flatMap(use),
      Effect.ensuring(Effect.sync(() => gate.release(heldBytes))),
    )
  })
})

/** The block numbers from `from` to `to`, inclusive. */
const numbers = (from: number, to: number): ReadonlyArray<number> =>
  Array.from({ length: to - from + 1 }, (_, index) => from + index)
