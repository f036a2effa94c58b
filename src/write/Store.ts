/**
 * The store, as the program sees it: one SQLite database that blocks are written into, and that is
 * read, verified and extended.
 *
 * Two Layers give it: {@link Store.layer} runs it in a thread of its own, since a commit blocks its
 * thread and the main thread has sockets to serve; {@link Store.layerInline} runs the same code on
 * the calling thread, for tests and for what has nothing else to do meanwhile.
 *
 * Invariants: closing the Layer commits what was written and closes the database. A thread that
 * ends by itself is fatal: every call, present and to come, fails. A write that
 * is interrupted leaves the store in order, and its blocks in it or not.
 */
import path from "node:path"
import { Context, Effect, Layer } from "effect"
import { startThread, type Thread } from "../threads/Thread.ts"
import { threadProgram } from "../threads/threadProgram.ts"
import type { BlockRange } from "../domain/blockRanges.ts"
import type { PeerRecord } from "../peers/peerCacheFile.ts"
import type { BlockPayload } from "./rows.ts"
import { StoreError } from "./StoreError.ts"
import {
  DATABASE_FILE,
  type OpenOptions,
  type Opened,
  type Replacement,
  type ReplaceResult,
  type StoreCallName,
  type StoreCalls,
  type StoreProgress,
  type StoreReply,
  type StoreRequest,
  type StoreStatus,
  type TablesReport,
  type TablesRequest,
  type TrustedHash,
  type VerifyReport,
  type WriteResult,
} from "./storeProtocol.ts"

/** What can be done with an open store. Each of it fails when the store cannot be used (any more). */
export interface StoreShape {
  /** What it held when it was opened. */
  readonly opened: Opened
  /**
   * Writes blocks whose roots are checked; ends when each is committed or refused. Writes share
   * transactions, so keep several under way, bounded in bytes. The buffers in `transfer` go to the
   * store's thread and are detached here; all other buffers under the blocks are copied whole.
   */
  readonly write: (
    blocks: ReadonlyArray<BlockPayload>,
    transfer?: ReadonlyArray<ArrayBuffer>,
  ) => Effect.Effect<WriteResult, StoreError>
  /**
   * Puts blocks in the place of all that is stored above their ancestor, rows and coverage and the
   * row of `reorgs` in one transaction; what was written before is committed first. The buffers in
   * `transfer` are detached as by `write`.
   */
  readonly replace: (
    replacement: Replacement,
    transfer?: ReadonlyArray<ArrayBuffer>,
  ) => Effect.Effect<ReplaceResult, StoreError>
  /** Numbers and hashes of the stored blocks of a range, rising; what is written is committed first. */
  readonly hashes: (range: BlockRange) => Effect.Effect<ReadonlyArray<TrustedHash>, StoreError>
  /** Commits what was written, without waiting for a limit. */
  readonly flush: Effect.Effect<void, StoreError>
  readonly status: Effect.Effect<StoreStatus, StoreError>
  readonly verify: (
    onProgress?: (progress: StoreProgress) => void,
  ) => Effect.Effect<VerifyReport, StoreError>
  readonly buildTables: (
    request: TablesRequest,
    onProgress?: (progress: StoreProgress) => void,
  ) => Effect.Effect<TablesReport, StoreError>
  /** The peers that earlier runs left, in no order. */
  readonly readPeers: Effect.Effect<ReadonlyArray<PeerRecord>, StoreError>
  /** Replaces all of them, and commits. */
  readonly writePeers: (peers: ReadonlyArray<PeerRecord>) => Effect.Effect<void, StoreError>
}

/** See {@link StoreShape}. */
export class Store extends Context.Tag("annals/Store")<Store, StoreShape>() {
  /** In a thread of its own. */
  static readonly layer = (options: OpenOptions): Layer.Layer<Store, StoreError> =>
    Layer.scoped(
      Store,
      Effect.gen(function* () {
        const thread = yield* Effect.acquireRelease(
          Effect.suspend(() => {
            const program = threadProgram("write/storeThread.js")
            return program === undefined
              ? new StoreError({
                  path: fileOf(options),
                  failure: {
                    kind: "thread_ended",
                    detail: "its program, storeThread.js, is missing",
                  },
                })
              : Effect.sync(() => new StoreThread(program, fileOf(options)))
          }),
          (thread) => thread.end,
        )
        const opened = yield* thread.call("open", options)
        return {
          opened,
          write: (blocks, transfer = []) => thread.call("write", blocks, { transfer }),
          replace: (replacement, transfer = []) =>
            thread.call("replace", replacement, { transfer }),
          hashes: (range) => thread.call("hashes", range),
          flush: Effect.asVoid(thread.call("flush", null)),
          status: thread.call("status", null),
          verify: (onProgress) => thread.call("verify", null, { onProgress }),
          buildTables: (request, onProgress) => thread.call("buildTables", request, { onProgress }),
          readPeers: thread.call("readPeers", null),
          writePeers: (peers) => Effect.asVoid(thread.call("writePeers", peers)),
        }
      }),
    )

  /** On the calling thread. */
  static readonly layerInline = (options: OpenOptions): Layer.Layer<Store, StoreError> =>
    Layer.scoped(
      Store,
      Effect.gen(function* () {
        // SQLite is loaded only where it runs.
        const { openSession } = yield* Effect.promise(() => import("./StoreSession.ts"))
        const session = yield* openSession(options)
        const { opened, flush, status, readPeers } = session
        return {
          opened,
          flush,
          status,
          readPeers,
          writePeers: (peers) => session.writePeers(peers),
          write: (blocks) => session.write(blocks),
          replace: (replacement) => session.replace(replacement),
          hashes: (range) => session.hashes(range),
          verify: (onProgress = ignore) => session.verify(onProgress),
          buildTables: (request, onProgress = ignore) => session.buildTables(request, onProgress),
        }
      }),
    )
}

const ignore = (): void => undefined

const fileOf = ({ directory }: OpenOptions): string => path.join(directory, DATABASE_FILE)

/** How long the thread may take to commit, checkpoint and close before it is ended. */
const CLOSE_MS = 60_000

/** A call that is not answered yet. */
interface Pending {
  readonly resume: (outcome: Effect.Effect<unknown, StoreError>) => void
  readonly onProgress: (progress: StoreProgress) => void
}

interface CallOptions {
  readonly transfer?: ReadonlyArray<ArrayBuffer>
  readonly onProgress?: ((progress: StoreProgress) => void) | undefined
}

/** The program's side of the protocol. */
class StoreThread {
  readonly #thread: Thread<StoreRequest>
  readonly #file: string
  readonly #pending = new Map<number, Pending>()
  #nextId = 1
  /** Why there is no thread any more. */
  #ended: StoreError | undefined

  constructor(program: string, file: string) {
    this.#file = file
    this.#thread = startThread({
      program,
      name: "annals-store",
      heard: (reply: StoreReply) => this.#take(reply),
      over: (why) => this.#over(`its thread ${why}`),
    })
  }

  /** Asks the thread; interrupting it takes the question back. */
  call<Name extends StoreCallName>(
    name: Name,
    argument: StoreCalls[Name]["request"],
    { transfer = [], onProgress = ignore }: CallOptions = {},
  ): Effect.Effect<StoreCalls[Name]["reply"], StoreError> {
    return Effect.async((resume) => {
      if (this.#ended !== undefined) return resume(Effect.fail(this.#ended))
      const id = this.#nextId++
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the thread answers a call with its own kind of reply, as StoreHost's types have it
      type Outcome = Effect.Effect<StoreCalls[Name]["reply"], StoreError>
      this.#pending.set(id, {
        // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- as above
        resume: (outcome) => resume(outcome as Outcome),
        onProgress,
      })
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- name and argument belong together by this method's type
      const request = { id, call: name, argument } as StoreRequest
      this.#thread.tell(request, transfer)
      return Effect.sync(() => {
        this.#pending.delete(id)
        this.#thread.tell({ id, call: "cancel" })
      })
    })
  }

  /** Lets the thread finish and close the store, and ends it. */
  readonly end: Effect.Effect<void> = Effect.suspend(() =>
    this.#thread.endAfter(this.call("close", null), CLOSE_MS),
  )

  #take(reply: StoreReply): void {
    const pending = this.#pending.get(reply.id)
    if (pending === undefined) return
    if (reply.kind === "progress") return pending.onProgress(reply.progress)
    this.#pending.delete(reply.id)
    switch (reply.kind) {
      case "done":
        return pending.resume(Effect.succeed(reply.value))
      case "failed": {
        const { path, failure } = reply
        return pending.resume(new StoreError({ path, failure }))
      }
      case "died":
        return pending.resume(Effect.dieMessage(reply.message))
    }
  }

  #over(detail: string): void {
    this.#ended = new StoreError({ path: this.#file, failure: { kind: "thread_ended", detail } })
    for (const { resume } of this.#pending.values()) resume(Effect.fail(this.#ended))
    this.#pending.clear()
  }
}
