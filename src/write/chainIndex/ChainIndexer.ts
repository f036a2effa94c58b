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
import { Context, Deferred, Effect, FiberId, Layer, Runtime } from "effect"
import { isProgram, startThread } from "../../threads/Thread.ts"
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
      if (!isProgram(program)) {
        yield* warn("its program, chainIndexThread.js, is missing")
        return nobody
      }
      const run = Runtime.runFork(yield* Effect.runtime())
      const thread = yield* Effect.acquireRelease(
        Effect.sync(() => start(directory, program, (reason) => void run(warn(reason)))),
        ({ end }) => end,
      )
      const indexer: IndexerShape = {
        damaged: (reason) => Effect.sync(() => thread.tell({ call: "damaged", reason })),
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

/** How long the thread may take to end what it is at. */
const CLOSE_MS = 10_000

/** Starts the thread; `end` asks it to end, and ends it. */
const start = (directory: string, program: string, warned: (reason: string) => void) => {
  const over = Deferred.unsafeMake<void>(FiberId.none)
  let closing = false
  const { tell, endAfter } = startThread<IndexerRequest, IndexerReply>({
    program,
    name: "annals-index",
    heard: (reply) => {
      if (reply.kind === "warned") warned(reply.reason)
    },
    over: (why) => {
      if (!closing) warned(`its thread ${why}`)
      Deferred.unsafeDone(over, Effect.void)
    },
  })
  tell({ call: "open", directory })
  const end = Effect.suspend(() => {
    closing = true
    tell({ call: "close" })
    return endAfter(Deferred.await(over), CLOSE_MS)
  })
  return { tell, end }
}
