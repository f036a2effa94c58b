/**
 * Whoever builds the index beside the readers of the store: a thread of its own, so that building
 * never holds up an answer.
 *
 * Three Layers give it: {@link layerIndexer}; {@link layerIndexerInline}, which builds on the calling
 * thread, for tests; and {@link layerNoIndexer}.
 *
 * Invariants: closing the Layer ends the building, between two commits. Without anyone who builds
 * all questions are answered all the same, from the blocks themselves: a thread that cannot start or
 * ends by itself is a warning, and is not started again.
 */
import { existsSync } from "node:fs"
import { Worker } from "node:worker_threads"
import { Context, Effect, Layer, Runtime } from "effect"
import { endWithin } from "../../threads/EndWithin.ts"
import { threadProgram } from "../../threads/threadProgram.ts"
import type { IndexerReply, IndexerRequest } from "./chainIndexProtocol.ts"
import { DamageFlag, keepIndexed } from "./ChainIndexing.ts"

/** See the module. */
export interface IndexerShape {
  /** What was read in the index cannot be right: it is to be thrown away and built again. */
  readonly damaged: (reason: string) => Effect.Effect<void>
}

/** See {@link IndexerShape}. */
export class Indexer extends Context.Tag("annals/Indexer")<Indexer, IndexerShape>() {}

/** In a thread of its own. */
export const layerIndexer = (directory: string): Layer.Layer<Indexer> =>
  layerIndexerWith(directory, threadProgram("write/chainIndex/chainIndexThread.js"))

/** As {@link layerIndexer}, with the thread's program given by its path. */
export const layerIndexerWith = (
  directory: string,
  program: string | undefined,
): Layer.Layer<Indexer> =>
  Layer.scoped(
    Indexer,
    Effect.gen(function* () {
      if (program === undefined || !existsSync(program)) {
        yield* warn("its program, chainIndexThread.js, is missing")
        return nobody
      }
      const run = Runtime.runFork(yield* Effect.runtime())
      const worker = yield* Effect.acquireRelease(
        Effect.sync(() => start(directory, program, (reason) => void run(warn(reason)))),
        end,
      )
      const indexer: IndexerShape = {
        damaged: (reason) => Effect.sync(() => post(worker, { call: "damaged", reason })),
      }
      return indexer
    }),
  )

/** On the calling thread. */
export const layerIndexerInline = (directory: string): Layer.Layer<Indexer> =>
  Layer.scoped(
    Indexer,
    Effect.gen(function* () {
      const flag = new DamageFlag()
      yield* Effect.forkScoped(keepIndexed(directory, flag, warn))
      return { damaged: (reason) => Effect.sync(() => flag.raise(reason)) }
    }),
  )

/** Nobody builds: the index, if there is one, is read as it is. */
export const layerNoIndexer: Layer.Layer<Indexer> = Layer.sync(Indexer, () => nobody)

const nobody: IndexerShape = { damaged: () => Effect.void }

const warn = (reason: string): Effect.Effect<void> =>
  Effect.logWarning(`the index of logs and transactions is not built: ${reason}`)

const start = (directory: string, program: string, warned: (reason: string) => void): Worker => {
  const worker = new Worker(program, { name: "annals-index" })
  worker.on("message", (reply: IndexerReply) => {
    if (reply.kind === "warned") warned(reply.reason)
  })
  worker.on("error", (error) => warned(`its thread failed: ${String(error)}`))
  post(worker, { call: "open", directory })
  return worker
}

const post = (worker: Worker, request: IndexerRequest): void => worker.postMessage(request)

/** How long the thread may take to end what it is at. */
const CLOSE_MS = 10_000

/** Asks the thread to end, and ends it. */
const end = (worker: Worker): Effect.Effect<void> =>
  endWithin(
    Effect.async<void>((resume) => {
      worker.once("exit", () => resume(Effect.void))
      post(worker, { call: "close" })
    }),
    CLOSE_MS,
  ).pipe(Effect.zipRight(Effect.promise(() => worker.terminate())))
