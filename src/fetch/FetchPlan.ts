/**
 * What a mode asks of its peers, and how. The one thing in which the fetch of a probe differs from
 * that of ingest.
 */
import { Context, type Effect, Layer } from "effect"
import { matchByGas } from "./matchReceipts.ts"
import type { PartKind } from "./PeerLanes.ts"
import type { MatchReceipts, PartMethod } from "./PartFetch.ts"

/** See the module. */
export interface FetchPlanShape {
  /** The parts of a block that the mode wants, beside its header. */
  readonly kinds: ReadonlyArray<PartKind>
  /** How bodies are fetched beside the receipts; undefined where none are. */
  readonly bodies: Effect.Effect<PartMethod> | undefined
  /**
   * `fixed`: exactly `receiptsPerRequest` blocks a request. `adaptive`: as many as their answer is
   * predicted to fill `answerTargetBytes`, `receiptsPerRequest` at most; deadlines follow the
   * peer's round trips, and a late answer that is still wanted is used.
   */
  readonly requests: "fixed" | "adaptive"
  /**
   * Requests of one kind under way at once at one peer: so many where they are `fixed`; `adaptive`
   * ones from 1 to so many, by how much of a peer's answers is waiting.
   */
  readonly requestsAtOnce: number
  /** How the lists of an answer are told apart; gas is the cumulative gas of each. */
  readonly matchReceipts: MatchReceipts
}

/** See {@link FetchPlanShape}. */
export class FetchPlan extends Context.Tag("annals/FetchPlan")<FetchPlan, FetchPlanShape>() {
  /**
   * Headers and receipts, nothing computed. Two requests at once: the next one travels while the
   * peer works on the first, and a batch of the default size is two requests.
   */
  static readonly layerProbe: Layer.Layer<FetchPlan> = Layer.succeed(FetchPlan, {
    kinds: ["receipts"],
    bodies: undefined,
    requests: "fixed",
    requestsAtOnce: 2,
    matchReceipts: (blocks, gas) =>
      matchByGas(
        blocks.map((block) => block.header.gasUsed),
        gas,
      ),
  })
}
