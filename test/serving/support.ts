/** What the tests of serving share: a made chain, its heads as they are measured, sessions. */
import { Effect } from "effect"
import { generateChain, generatedChainSpec } from "../../src/devnet/generatedChain.ts"
import type { ServedChain } from "../../src/devnet/servedChain.ts"
import { readHeader } from "../../src/domain/header.ts"
import type { MeasuredHead } from "../../src/serving/OurHead.ts"
import type { EthVersion } from "../../src/wire/hello.ts"

export const chain = generateChain({ blocks: 200, shape: "tiny", seed: 21 })
export const spec = generatedChainSpec()

/** A block's header as a measurement has it in hand. */
export const measured = (from: ServedChain, number: number): MeasuredHead => ({
  header: readHeader(from.headerAt(number)!),
  bytes: from.headerAt(number)!,
  hash: from.hashAt(number)!,
})

/** A session that writes down what is sent over it. */
export const recording = (peerId: string, ethVersion: EthVersion) => {
  const sent: Array<{ readonly code: number; readonly payload: Uint8Array }> = []
  const session = {
    peerId,
    ethVersion,
    sendRaw: (code: number, payload: Uint8Array) =>
      Effect.sync(() => {
        sent.push({ code, payload })
      }),
  }
  return { session, sent }
}
