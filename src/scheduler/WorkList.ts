/**
 * What is to be fetched, as a service: it is known only after the peers' heads are.
 */
import { Context, Layer } from "effect"
import type { BlockRanges } from "../domain/blockRanges.ts"

/** The blocks of this run. */
export class WorkList extends Context.Tag("annals/WorkList")<WorkList, BlockRanges>() {
  static readonly layer = (blocks: BlockRanges): Layer.Layer<WorkList> =>
    Layer.succeed(WorkList, blocks)
}
