/**
 * The store as a {@link HistoryReader}: read through a connection of its own, beside whoever writes.
 *
 * Two Layers give it: {@link layerStoreReader} reads in a thread of its own, which is started at the
 * first question, since a read of megabytes blocks its thread and most runs are asked nothing;
 * {@link layerStoreReaderInline} reads on the calling thread, for tests.
 *
 * Invariants: closing the Layer closes the connection and ends the thread. A thread that ends by
 * itself is not started again: every question, present and to come, fails.
 */
import { Effect, Layer } from "effect"
import { isProgram, startThread, type Thread } from "../threads/Thread.ts"
import { threadProgram } from "../threads/threadProgram.ts"
import {
  HistoryReader,
  type HistoryReaderShape,
  HistoryUnavailable,
} from "../serving/HistoryReader.ts"
import {
  type ReaderCallName,
  type ReaderCalls,
  type ReaderReply,
  type ReaderRequest,
  unpackItems,
} from "./readerProtocol.ts"
import type { ReaderSession } from "./ReaderSession.ts"
import type { StoreError } from "./StoreError.ts"

/** In a thread of its own. The directory's store is opened at the first question. */
export const layerStoreReader = (directory: string): Layer.Layer<HistoryReader> =>
  layerStoreReaderWith(directory, threadProgram("write/readerThread.js"))

/** As {@link layerStoreReader}, with the thread's program given by its path. */
export const layerStoreReaderWith = (
  directory: string,
  program: string | undefined,
): Layer.Layer<HistoryReader> =>
  Layer.scoped(
    HistoryReader,
    Effect.map(
      Effect.acquireRelease(
        Effect.sync(() => new ReaderThread(directory, program)),
        (thread) => thread.end,
      ),
      (thread) => ({
        headers: (query, limits) =>
          Effect.map(thread.call("headers", { query, limits }), unpackItems),
        bodies: (hashes, limits) =>
          Effect.map(thread.call("bodies", { hashes, limits }), unpackItems),
        receipts: (query, limits) =>
          Effect.map(thread.call("receipts", { query, limits }), unpackItems),
        held: Effect.suspend(() => thread.call("held", null)),
      }),
    ),
  )

/** On the calling thread; the store has to be there when the Layer is built. */
export const layerStoreReaderInline = (directory: string): Layer.Layer<HistoryReader, StoreError> =>
  Layer.scoped(
    HistoryReader,
    Effect.gen(function* () {
      // SQLite is loaded only where it runs.
      const { openReaderSession } = yield* Effect.promise(() => import("./ReaderSession.ts"))
      return historyOf(yield* openReaderSession(directory))
    }),
  )

/** A store that is open on the calling thread, for who asks for history. */
export const historyOf = (session: ReaderSession): HistoryReaderShape => ({
  headers: (query, limits) => Effect.mapError(session.headers(query, limits), unavailable),
  bodies: (hashes, limits) => Effect.mapError(session.bodies(hashes, limits), unavailable),
  receipts: (query, limits) => Effect.mapError(session.receipts(query, limits), unavailable),
  held: Effect.mapError(session.held, unavailable),
})

const unavailable = ({ message }: StoreError): HistoryUnavailable =>
  new HistoryUnavailable({ reason: message })

/** How long the thread may take to close the store; it is in the middle of a question at most. */
const CLOSE_MS = 5_000

/**
 * Of the thread's heap, in MiB; 48 without it. What an answer needs lies outside of the heap, and is
 * given back only when this is full.
 */
const YOUNG_MIB = 4

type Resume = (outcome: Effect.Effect<unknown, HistoryUnavailable>) => void

/** The program's side of the protocol. */
class ReaderThread {
  readonly #directory: string
  readonly #program: string | undefined
  readonly #pending = new Map<number, Resume>()
  #nextId = 1
  #thread: Thread<ReaderRequest> | undefined
  /** Why there is no thread any more. */
  #ended: HistoryUnavailable | undefined

  constructor(directory: string, program: string | undefined) {
    this.#directory = directory
    this.#program = program
  }

  /** Asks the thread; interrupting it takes the question back. */
  call<Name extends ReaderCallName>(
    name: Name,
    argument: ReaderCalls[Name]["request"],
  ): Effect.Effect<ReaderCalls[Name]["reply"], HistoryUnavailable> {
    return Effect.async((resume) => {
      const thread = this.#started()
      if (thread instanceof HistoryUnavailable) return resume(Effect.fail(thread))
      const id = this.#nextId++
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the thread answers a call with its own kind of reply, as ReaderHost's types have it
      type Outcome = Effect.Effect<ReaderCalls[Name]["reply"], HistoryUnavailable>
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- as above
      this.#pending.set(id, (outcome) => resume(outcome as Outcome))
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- name and argument belong together by this method's type
      const request = { id, call: name, argument } as ReaderRequest
      thread.tell(request)
      return Effect.sync(() => {
        this.#pending.delete(id)
        thread.tell({ id, call: "cancel" })
      })
    })
  }

  /** Lets the thread close the store, and ends it. */
  readonly end: Effect.Effect<void> = Effect.suspend(
    () => this.#thread?.endAfter(this.call("close", null), CLOSE_MS) ?? Effect.void,
  )

  #started(): Thread<ReaderRequest> | HistoryUnavailable {
    if (this.#ended !== undefined) return this.#ended
    if (this.#thread !== undefined) return this.#thread
    const program = this.#program
    if (!isProgram(program)) return this.#over("its program, readerThread.js, is missing")
    this.#thread = startThread({
      program,
      name: "annals-reader",
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MIB },
      heard: (reply: ReaderReply) => this.#take(reply),
      over: (why) => this.#over(`its thread ${why}`),
    })
    this.#thread.tell({ id: 0, call: "open", argument: this.#directory })
    return this.#thread
  }

  #take(reply: ReaderReply): void {
    // The store could not be opened: there is nothing to ask.
    if (reply.id === 0 && reply.kind === "failed") return void this.#over(reply.reason)
    const resume = this.#pending.get(reply.id)
    if (resume === undefined) return
    this.#pending.delete(reply.id)
    resume(
      reply.kind === "done"
        ? Effect.succeed(reply.value)
        : Effect.fail(new HistoryUnavailable({ reason: reply.reason })),
    )
  }

  #over(reason: string): HistoryUnavailable {
    this.#ended ??= new HistoryUnavailable({ reason: `the store cannot be read: ${reason}` })
    for (const resume of this.#pending.values()) resume(Effect.fail(this.#ended))
    this.#pending.clear()
    return this.#ended
  }
}
