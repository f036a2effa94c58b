/** The specification's own requests and responses, over HTTP and WebSocket, from a real store. */
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { fixturesDir } from "../../support/fixtures.ts"
import { exchangeNames, readExchanges, shapeOf } from "../exchanges.ts"
import { fixtureChain } from "../fixtureChains.ts"
import { serveStored } from "./storeServer.ts"
import { post, SocketClient, type TestServer } from "./support.ts"

describe.skipIf(fixturesDir === undefined)("the server, by the specification", () => {
  let server: TestServer
  let client: SocketClient

  beforeAll(async () => {
    server = await serveStored(await fixtureChain("execapis"))
    client = new SocketClient(server.url)
    await client.opened
  })

  afterAll(async () => {
    client.socket.terminate()
    await server.stop()
  })

  it.each(exchangeNames)("%s", async (name) => {
    for (const { method, params, result, error, shapeOnly } of readExchanges(name)) {
      const call = { jsonrpc: "2.0", id: 1, method, params }
      const { status, answer: told } = await post(server.url, call)
      assert.strictEqual(status, 200)
      if (shapeOnly) assert.deepEqual(shapeOf(told.result), shapeOf(result))
      else assert.deepEqual({ result: told.result, error: told.error }, { result, error })
      const overSocket = await client.call(method, ...(params ?? []))
      assert.deepEqual(overSocket.result, told.result)
      assert.deepEqual(overSocket.error, told.error)
    }
  })
})
