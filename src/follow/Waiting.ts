/**
 * Tells why nothing moves, once that has lasted: a peer that comes or goes holds things up for a moment,
 * which is nobody's concern.
 */
import { Clock, Effect } from "effect"
import { Terminal } from "../observe/Terminal.ts"
import { SyncState } from "./SyncState.ts"

/** A reason to wait that lasts so long is told. */
const TELL_WAIT_AFTER_MS = 5_000

/** To be called again and again, with the reason or, while things move, without. */
export type Waiting = (reason: string | undefined) => Effect.Effect<void>

/** See the module. */
export const makeWaiting = Effect.gen(function* () {
  const terminal = yield* Terminal
  const state = yield* SyncState
  let sinceMs: number | undefined
  let told: string | undefined
  return Effect.fnUntraced(function* (reason: string | undefined) {
    const nowMs = yield* Clock.currentTimeMillis
    sinceMs = reason === undefined ? undefined : (sinceMs ?? nowMs)
    const lasting = sinceMs !== undefined && nowMs - sinceMs >= TELL_WAIT_AFTER_MS
    const stalled = lasting ? reason : undefined
    if (stalled !== state.facts().stalled) yield* state.update({ stalled })
    if (stalled === undefined || stalled === told) return
    told = stalled
    yield* terminal.log(`annals: waiting: ${stalled}`, "warning")
  })
})
