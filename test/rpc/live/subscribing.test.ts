/** How much is done for the subscriptions of one connection, told by what is asked of the store. */
import { Effect } from "effect"
import { afterEach, assert, describe, it } from "vitest"
import { generateChain } from "../../../src/devnet/generatedChain.ts"
import { storedBlocks } from "../fixtureChains.ts"
import { memoryChain } from "../memoryReader.ts"
import { eventually, SocketClient, startServer, type TestServer } from "../server/support.ts"

const blocks = storedBlocks(generateChain({ blocks: 12, shape: "tiny", seed: 3 }))
let server: TestServer | undefined

afterEach(async () => {
  await server?.stop()
  server = undefined
})

const COUNT = 150

describe("a subscription", () => {
  it.each(["newHeads", "logs"])(
    "to %s costs the same, however many the connection has; all are told of what comes",
    async (kind) => {
      const chain = memoryChain(blocks.slice(0, 11))
      let looks = 0
      const version = Effect.zipRight(
        Effect.sync(() => {
          looks += 1
        }),
        chain.reader.version,
      )
      server = await startServer({ ...chain.reader, version })
      const client = new SocketClient(server.url)
      await client.opened
      const ids = new Set<unknown>()
      const params = kind === "logs" ? [kind, {}] : [kind]
      // One after the other: each begins before the next one is asked for.
      for (let n = 0; n < COUNT; n++) {
        ids.add((await client.call("eth_subscribe", ...params)).result)
      }
      assert.strictEqual(ids.size, COUNT)
      await eventually(async () => {
        const before = looks
        await new Promise((resolve) => setTimeout(resolve, 50))
        return looks - before <= 1
      })
      assert.isBelow(looks, 20 * COUNT)
      chain.add(blocks.slice(11))
      await eventually(
        () => new Set(client.told.map(({ subscription }) => subscription)).size === COUNT,
      )
      assert.deepEqual(new Set(client.told.map(({ subscription }) => subscription)), ids)
      client.socket.terminate()
    },
  )
})
