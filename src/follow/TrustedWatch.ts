/**
 * Asks a trusted node for its head, again and again, and has the headers of its chain looked for.
 *
 * In: the node. Out: what it said last, for as long as that counts: a node that has been silent for
 * {@link STALE_INTERVALS} intervals leads nowhere until it speaks again. Each silence is told once.
 */
import { Clock, Duration, Effect, type Scope } from "effect"
import { fromHex } from "../domain/hex.ts"
import { Terminal } from "../observe/Terminal.ts"
import { Settings } from "../Settings.ts"
import type { StoreError } from "../write/StoreError.ts"
import type { TrustedHash } from "../write/storeProtocol.ts"
import { ChainTop } from "./ChainTop.ts"
import { type HeadWatch, HEADERS_ASKED } from "./HeadWatch.ts"
import type { BlockId } from "./headerTree.ts"
import type { TrustedHead, TrustedHeadUnavailable } from "./TrustedHead.ts"
import type { TrustedSaid } from "./trustedMove.ts"

/** Why a trusted node leads nowhere, in a few words. */
export interface TrustedSilence {
  readonly silence: string
}

/** What the node said last, or why that does not count. */
export type TrustedNow = () => Effect.Effect<TrustedSaid | TrustedSilence>

/** Without an answer for so many intervals, and so long, the last one counts no more. */
const STALE_INTERVALS = 8
const LEAST_STALE_MS = 12_000

/** Asks as long as the scope. */
export const watchTrusted = Effect.fnUntraced(function* (
  { ask, blockAt }: TrustedHead,
  watch: HeadWatch,
): Effect.fn.Return<TrustedNow, never, Settings | Terminal | ChainTop | Scope.Scope> {
  const { followEveryMs, rollbackWindowBlocks } = yield* Settings
  const terminal = yield* Terminal
  const chainTop = yield* ChainTop
  let said: TrustedSaid | undefined
  let heardMs = 0
  let warned = false

  /** Whether the head lies so far above the tip that its headers are not asked for down to it. */
  const isFar = ({ number }: BlockId): boolean =>
    number - chainTop.top().tip >= HEADERS_ASKED + rollbackWindowBlocks

  const askOnce: Effect.Effect<void, TrustedHeadUnavailable | StoreError> = Effect.gen(
    function* () {
      const { head, safe, finalized } = yield* ask
      const { tip, hashes } = chainTop.top()
      const atTip = isFar(head) && hashes.has(tip) ? yield* blockAt(tip) : undefined
      said = { head, atTip }
      heardMs = yield* Clock.currentTimeMillis
      warned = false
      watch.seek(atTip ?? head)
      yield* chainTop.mark({ safe: markOf(safe), finalized: markOf(finalized) })
    },
  )
  yield* askOnce.pipe(
    Effect.catchTag("TrustedHeadUnavailable", ({ reason }) => {
      if (warned) return Effect.void
      warned = true
      return terminal.log(`annals: --trusted-head does not answer (${reason}); waiting`, "warning")
    }),
    // The run hears of a broken store from its writer.
    Effect.catchTag("StoreError", () => Effect.void),
    Effect.zipRight(Effect.sleep(Duration.millis(followEveryMs))),
    Effect.forever,
    Effect.forkScoped,
  )
  const staleMs = Math.max(STALE_INTERVALS * followEveryMs, LEAST_STALE_MS)
  return () =>
    Effect.map(Clock.currentTimeMillis, (nowMs) => {
      if (said === undefined) return { silence: "the trusted head has not been heard yet" }
      if (nowMs - heardMs < staleMs) return said
      const since = new Date(heardMs).toISOString()
      return { silence: `the trusted head has not answered since ${since}` }
    })
})

const markOf = (block: BlockId | undefined): TrustedHash | undefined =>
  block && { blockNumber: block.number, hash: fromHex(block.key) }
