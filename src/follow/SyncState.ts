/**
 * How the sync stands, for whoever asks: the progress line, and those who ask over HTTP.
 *
 * In: what the run learns, piece by piece. Out: a {@link SyncReport} at any instant, in plain data.
 *
 * Invariants: the report is true in every phase, with `--follow` and without; `behindSinceMs` is the
 * instant at which the lag began that still lasts, and is there exactly when there is a lag.
 */
import { Clock, Context, Effect, Layer } from "effect"
import type { SyncReport } from "../observe/syncReport.ts"

/** What the run learns of itself. */
export interface SyncFacts {
  readonly phase: SyncReport["phase"]
  readonly targetBlock: number | undefined
  /** The head of the network as it was measured last. */
  readonly headBlock: number | undefined
  /** The end of the unbroken run that is stored from the start block on; one below the start: none. */
  readonly storedBlock: number
  /** Chain reorganisations that this run has written. */
  readonly reorgs: number
  /** Why it goes on no further, in a few words, once that has lasted; undefined while it does. */
  readonly stalled: string | undefined
}

/** See the module. */
export interface SyncStateShape {
  readonly report: () => SyncReport
  /** The facts as they were told last. */
  readonly facts: () => SyncFacts
  /** Some facts are others now. */
  readonly update: (change: Partial<SyncFacts>) => Effect.Effect<void>
}

/** See {@link SyncStateShape}. */
export class SyncState extends Context.Tag("annals/SyncState")<SyncState, SyncStateShape>() {
  /** Of a run that begins at `startBlock`, of which nothing is stored yet. */
  static readonly layer = (startBlock: number): Layer.Layer<SyncState> =>
    Layer.sync(SyncState, () => {
      let facts: SyncFacts = {
        phase: "starting",
        targetBlock: undefined,
        headBlock: undefined,
        storedBlock: startBlock - 1,
        reorgs: 0,
        stalled: undefined,
      }
      let behindSinceMs: number | undefined
      return {
        facts: () => facts,
        report: () => ({
          phase: facts.phase,
          startBlock,
          targetBlock: facts.targetBlock,
          headBlock: facts.headBlock,
          blocksBehind: behind(facts),
          behindSinceMs,
          reorgs: facts.reorgs,
          stalled: facts.stalled,
        }),
        update: (change) =>
          Effect.map(Clock.currentTimeMillis, (nowMs) => {
            facts = { ...facts, ...change }
            if ((behind(facts) ?? 0) === 0) behindSinceMs = undefined
            else behindSinceMs ??= nowMs
          }),
      }
    })
}

/** Blocks between what is stored and the head; undefined before the head is known. */
const behind = ({ headBlock, storedBlock }: SyncFacts): number | undefined =>
  headBlock === undefined ? undefined : Math.max(0, headBlock - storedBlock)
