/** The chain that this run is about, as a service. */
import { Context, Layer } from "effect"
import type { ChainSpec } from "./chainSpec.ts"

/** The run's {@link ChainSpec}. */
export class Chain extends Context.Tag("annals/Chain")<Chain, ChainSpec>() {
  static readonly layer = (chain: ChainSpec): Layer.Layer<Chain> => Layer.succeed(Chain, chain)
}
