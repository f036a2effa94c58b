/**
 * The last stage: what is kept of a block. In a probe, nothing; in ingest, rows of the store. A
 * block is done when this stage says so.
 */
import { Context, Effect, Layer, Stream } from "effect"
import { ByteGate } from "../fetch/ByteGate.ts"
import { Processor } from "../process/Processor.ts"
import { Scheduler } from "../scheduler/Scheduler.ts"
import type { StoreError } from "./StoreError.ts"

/** See the module. */
export interface WriterShape {
  /** Writes all that comes; ends when the processor's stream has ended and all of it is done. */
  readonly run: Effect.Effect<void, StoreError>
}

/** See {@link WriterShape}. */
export class Writer extends Context.Tag("annals/Writer")<Writer, WriterShape>() {
  /** Keeps nothing: a block is done when it is counted. */
  static readonly layerDiscard: Layer.Layer<Writer, never, Processor | Scheduler | ByteGate> =
    Layer.effect(
      Writer,
      Effect.gen(function* () {
        const processor = yield* Processor
        const scheduler = yield* Scheduler
        const gate = yield* ByteGate
        return {
          run: Stream.runForEach(processor.batches, ({ blocks }) =>
            Effect.sync(() => {
              for (const block of blocks) {
                gate.release(block.heldBytes)
                scheduler.done(block)
              }
            }),
          ),
        }
      }),
    )
}
