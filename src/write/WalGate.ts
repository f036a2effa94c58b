/**
 * Keeps whoever reads from letting the write-ahead log grow for ever.
 *
 * SQLite begins the log anew only at a moment when nobody reads an older state of the store. Views that
 * overlap leave no such moment. So where the log has become large new views wait until all have
 * ended and the writer has begun anew, or until it is plain that he does not write.
 *
 * In: the size of the log, views. Out: the views' answers.
 *
 * Invariants: nobody waits here longer than {@link PAUSE_MS} on account of one pause; what is at work is
 * never cut short; with a log that does not shrink the next pause comes only when it has grown by as
 * much again.
 */
import { statSync } from "node:fs"
import { Duration, Effect, type Scope } from "effect"

/** Bytes of a log that nobody need wait for: many commits of a fast sync. */
export const MOST_WAL_BYTES = 128 * 1024 * 1024
/** How long a pause may take: as long as the longest view. */
const PAUSE_MS = 10_000
/** How long the writer may take to begin the log anew: two commits of a sync, and a checkpoint. */
const WRITER_MS = 2_500
/** Between two looks. */
const LOOK_MS = 10

/** See the module. */
export interface WalGate {
  /** Runs a view, once it may begin. */
  readonly through: <A, E, R>(view: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
}

/** Bytes of the log of a database file. */
export const walBytesOf = (file: string): number =>
  statSync(`${file}-wal`, { throwIfNoEntry: false })?.size ?? 0

/** A gate before the views of one thread; its pauses end with the scope. */
export const makeWalGate = (
  walBytes: () => number,
  mostBytes: number = MOST_WAL_BYTES,
): Effect.Effect<WalGate, never, Scope.Scope> =>
  Effect.gen(function* () {
    const scope = yield* Effect.scope
    const open = yield* Effect.makeLatch(true)
    // A log that somebody left behind is nobody's to wait for.
    const state = { limit: nextLimit(walBytes(), mostBytes), closed: false, inside: 0 }

    const pause = until(() => state.inside === 0).pipe(
      Effect.zipRight(
        until(() => walBytes() <= mostBytes).pipe(Effect.timeout(Duration.millis(WRITER_MS))),
      ),
      Effect.timeout(Duration.millis(PAUSE_MS)),
      Effect.ignore,
      Effect.ensuring(
        Effect.suspend(() => {
          state.limit = nextLimit(walBytes(), mostBytes)
          state.closed = false
          return open.open
        }),
      ),
    )
    const look = Effect.suspend(() => {
      if (state.closed || walBytes() <= state.limit) return Effect.void
      state.closed = true
      return Effect.zipRight(open.close, Effect.forkIn(Effect.interruptible(pause), scope))
    })
    return {
      through: (view) =>
        Effect.uninterruptibleMask((restore) =>
          Effect.gen(function* () {
            yield* look
            while (state.closed) yield* restore(open.await)
            state.inside += 1
            return yield* Effect.ensuring(
              restore(view),
              Effect.sync(() => {
                state.inside -= 1
              }),
            )
          }),
        ),
    }
  })

/** What the log may grow to before the next pause. */
const nextLimit = (bytes: number, mostBytes: number): number =>
  bytes > mostBytes ? bytes + mostBytes : mostBytes

const until = (holds: () => boolean): Effect.Effect<boolean> =>
  Effect.suspend(() => (holds() ? Effect.succeed(true) : later)).pipe(
    Effect.repeat({ until: (held) => held }),
  )

const later = Effect.as(Effect.sleep(Duration.millis(LOOK_MS)), false)
