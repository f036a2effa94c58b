/**
 * The counters of this run, as a service: every stage writes into the same ones.
 */
import { Context, Layer } from "effect"
import { Counters } from "./counters.ts"

export type { RequestKind } from "./counters.ts"

/** The run's {@link Counters}. */
export class Stats extends Context.Tag("annals/Stats")<Stats, Counters>() {
  /** Fresh counters. */
  static readonly layer: Layer.Layer<Stats> = Layer.sync(Stats, () => new Counters())
}
