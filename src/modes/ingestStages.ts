/**
 * The stages between the pool of peers and the store, which make a program an ingest:
 *
 *     scheduler ─▶ fetch (headers, bodies, receipts) ═▶ process (check) ═▶ write (store)
 *
 * Over a range that ends with it, or over work without an end. Needed are the pool of peers, the
 * store, and what counts; given are the stages to drive, the scheduler and the writer.
 */
import { Layer } from "effect"
import type { IngestOptions } from "../cli/syncOptions.ts"
import { Fetcher } from "../fetch/Fetcher.ts"
import { layerIngestPlan } from "../fetch/IngestPlan.ts"
import { layerChecking } from "../process/CheckingProcessor.ts"
import { CheckPool } from "../process/CheckPool.ts"
import { Scheduler } from "../scheduler/Scheduler.ts"
import { layerStoreWriter } from "../write/StoreWriter.ts"
import { followScheduler } from "./followHead.ts"

/** What of the options the stages depend on. */
export type StageOptions = Pick<IngestOptions, "workers" | "verify">

/** The stages over the work that is listed. */
export const ingestStages = (options: StageOptions, pool = checkPool(options)) =>
  stages(options, pool, Scheduler.layer)

/** The same stages over work without an end, with the landing of blocks near the head. */
export const followStages = (
  options: StageOptions & Pick<IngestOptions, "startBlock" | "rollbackWindow">,
  pool = checkPool(options),
) => stages(options, pool, followScheduler(options.startBlock, options.rollbackWindow))

const checkPool = ({ workers }: StageOptions): Layer.Layer<CheckPool> =>
  workers === 0 ? CheckPool.layerInline : CheckPool.layerThreads(workers)

const stages = <A, E, R>(
  { verify }: StageOptions,
  pool: Layer.Layer<CheckPool>,
  scheduler: Layer.Layer<A | Scheduler, E, R>,
) =>
  layerStoreWriter.pipe(
    Layer.provide(layerChecking(verify)),
    Layer.provide(pool),
    Layer.provide(Fetcher.layer),
    Layer.provideMerge(scheduler),
    Layer.provide(layerIngestPlan),
  )
