/** The specification's own requests and responses, on the chain that they were made on. */
import { Effect } from "effect"
import { assert, beforeAll, describe, it } from "vitest"
import { callHistoryMethod } from "../../src/rpc/HistoryMethods.ts"
import { RpcError } from "../../src/rpc/rpcError.ts"
import { defaultRpcLimits } from "../../src/rpc/rpcLimits.ts"
import { SenderCache } from "../../src/rpc/senderCache.ts"
import { fixturesDir } from "../support/fixtures.ts"
import { exchangeNames, readExchanges, shapeOf } from "./exchanges.ts"
import { type FixtureChain, fixtureChain } from "./fixtureChains.ts"
import { memoryReader } from "./memoryReader.ts"

const context = {
  limits: defaultRpcLimits,
  clientVersion: "annals/test",
  report: () => undefined,
  senders: new SenderCache(),
  pause: Effect.void,
}

describe.skipIf(fixturesDir === undefined)("the methods of history, by the specification", () => {
  let chain: FixtureChain

  beforeAll(async () => {
    chain = await fixtureChain("execapis")
  })

  const answer = (method: string, params: unknown) =>
    callHistoryMethod(method, params, context).pipe(
      Effect.match({
        onSuccess: (result) => ({ result, error: undefined }),
        onFailure: ({ code, message }: RpcError) => ({
          result: undefined,
          error: { code, message },
        }),
      }),
      // The chain's last forkchoice made its head safe and final.
      Effect.provide(memoryReader(chain.blocks, { ...chain.facts, safe: 54, finalized: 54 })),
      Effect.runPromise,
    )

  it("has cases", () => assert.isAtLeast(exchangeNames.length, 50))

  it.each(exchangeNames)("%s", async (name) => {
    const exchanges = readExchanges(name)
    assert.isNotEmpty(exchanges)
    for (const { method, params, result, error, shapeOnly } of exchanges) {
      const actual = await answer(method, params)
      // As a client reads it.
      const told: unknown = actual.result && JSON.parse(JSON.stringify(actual.result))
      if (shapeOnly) assert.deepEqual(shapeOf(told), shapeOf(result))
      else
        assert.deepEqual({ result: told ?? actual.result, error: actual.error }, { result, error })
    }
  })
})
