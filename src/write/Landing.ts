/**
 * Where checked blocks near the head go in place of the store's open transaction: they are held until
 * the branch that they belong to can be written at once. Whoever follows the head provides it; without
 * it every block is written as it comes.
 */
import { Context, type Effect } from "effect"
import type { ProcessedBlock } from "../process/Processor.ts"
import type { BlockPayload } from "./rows.ts"
import type { StoreError } from "./StoreError.ts"

/** See the module. */
export interface LandingShape {
  /** Whether this checked block is to land. */
  readonly takes: (payload: BlockPayload) => boolean
  /**
   * Takes a checked block, whose bytes are copied: it is done when its branch is committed, and goes
   * back to the scheduler, without blame, when it is of another branch than is wanted.
   */
  readonly land: (block: ProcessedBlock, payload: BlockPayload) => Effect.Effect<void, StoreError>
}

/** See {@link LandingShape}. */
export class Landing extends Context.Tag("annals/Landing")<Landing, LandingShape>() {}
