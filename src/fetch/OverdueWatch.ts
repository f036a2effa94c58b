/**
 * Tells the scheduler of batches that are overdue (`overdue.ts`), so that the end of a range does not
 * wait for its slowest peer. The time in which anybody waits for bytes counts for nobody: then it is our
 * own later stages that are slow.
 */
import { Duration, Effect } from "effect"
import { Scheduler } from "../scheduler/Scheduler.ts"
import { ByteGate } from "./ByteGate.ts"
import { afterBatch, overdueAfterMs } from "./overdue.ts"

/** How often the batches are looked at: fine against the least age at which one is overdue. */
const LOOK_EVERY_MS = 100

/** Starts to watch, until the scope closes. */
export const watchOverdue = Effect.gen(function* () {
  const scheduler = yield* Scheduler
  const gate = yield* ByteGate
  const clock = yield* Effect.clock
  /** Since when each open batch works; bounded by the slots of the connected peers. */
  const sinceMs = new Map<number, number>()
  let usualMs = 0

  const look = Effect.sync(() => {
    const afterMs = overdueAfterMs(usualMs)
    const nowMs = clock.unsafeCurrentTimeMillis()
    for (const [batchId, since] of sinceMs) {
      if (gate.isWaitedFor()) sinceMs.set(batchId, nowMs)
      else if (afterMs !== undefined && nowMs - since >= afterMs) scheduler.overdue(batchId)
    }
  })
  yield* Effect.sleep(Duration.millis(LOOK_EVERY_MS)).pipe(
    Effect.zipRight(look),
    Effect.forever,
    Effect.forkScoped,
  )

  return {
    /** A batch begins. */
    began: (batchId: number, nowMs: number): void => {
      sinceMs.set(batchId, nowMs)
    },
    /** A batch is over; `delivered`: with a block at least, and so one to measure others by. */
    ended: (batchId: number, nowMs: number, delivered: boolean): void => {
      const since = sinceMs.get(batchId)
      sinceMs.delete(batchId)
      if (since !== undefined && delivered) usualMs = afterBatch(usualMs, nowMs - since)
    },
  }
})
