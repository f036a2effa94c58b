/**
 * The plan of ingest: headers, bodies and receipts, one large request a peer and kind at a time, and
 * up to four where round trips are long; the items of a short answer are told apart by their roots.
 * In a file of its own: a probe loads nothing that computes roots.
 */
import { Layer } from "effect"
import { receiptsRoot } from "../domain/receipts.ts"
import { makeBodiesMethod } from "./BodiesFetch.ts"
import { FetchPlan } from "./FetchPlan.ts"
import { matchByRoot } from "./matchByRoot.ts"
import { matchByGas, NO_RECEIPTS } from "./matchReceipts.ts"

/** See the module. */
export const layerIngestPlan: Layer.Layer<FetchPlan> = Layer.succeed(FetchPlan, {
  kinds: ["bodies", "receipts"],
  bodies: makeBodiesMethod,
  requests: "adaptive",
  requestsAtOnce: 4,
  matchReceipts: (blocks, gas, lists, form) =>
    // An empty list in the place of one that is lacking has no root that would say whose it is.
    gas.includes(NO_RECEIPTS)
      ? matchByGas(
          blocks.map((block) => block.header.gasUsed),
          gas,
        )
      : matchByRoot(
          blocks.map((block) => block.header.receiptsRoot),
          lists.length,
          (item) => receiptsRoot(lists[item]!, form),
        ),
})
