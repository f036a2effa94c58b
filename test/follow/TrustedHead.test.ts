/** A trusted node that is slow, talks too much, or is another one than it should be. */
import http from "node:http"
import type { AddressInfo } from "node:net"
import { assert, describe, it } from "vitest"
import { Effect, Either, Fiber } from "effect"
import * as TestClock from "effect/TestClock"
import * as TestContext from "effect/TestContext"
import { makeTrustedHead } from "../../src/follow/TrustedHead.ts"

type Answer = (request: http.IncomingMessage, body: string, response: http.ServerResponse) => void

/** Serves HTTP as long as `use` runs; counts the requests. */
const withServer = async <A>(
  answer: Answer,
  use: (url: string, asked: () => number) => Promise<A>,
): Promise<A> => {
  let asked = 0
  const server = http.createServer((request, response) => {
    asked += 1
    let body = ""
    request.on("data", (chunk: Buffer) => {
      body += chunk.toString()
    })
    request.on("end", () => answer(request, body, response))
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a server on TCP has such an address
  const { port } = server.address() as AddressInfo
  try {
    return await use(`http://127.0.0.1:${port}`, () => asked)
  } finally {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }
}

const ask = (url: string) => Effect.runPromise(Effect.either(makeTrustedHead(url, 1337n).ask))

const reasonOf = async (url: string): Promise<string> => {
  const outcome = await ask(url)
  return Either.isLeft(outcome) ? outcome.left.reason : assert.fail("it was heard")
}

const sayJson = (response: http.ServerResponse, value: unknown): void => {
  response.end(JSON.stringify(value))
}

describe("a trusted node", () => {
  it("is not believed when it is of another chain", async () => {
    await withServer(
      (_, __, response) => sayJson(response, { result: "0x1" }),
      async (url) => assert.include(await reasonOf(url), "it is on chain 1, not on 1337"),
    )
  })

  it("is neither of the two when it answers neither", async () => {
    await withServer(
      (_, __, response) => sayJson(response, { hello: 1 }),
      async (url) => assert.include(await reasonOf(url), "neither"),
    )
    await withServer(
      (_, __, response) => response.end("<html>"),
      async (url) => assert.isNotEmpty(await reasonOf(url)),
    )
    assert.strictEqual(await reasonOf("http://127.0.0.1:2"), "ECONNREFUSED")
  })

  it("is not read past a bound", async () => {
    const megabyte = Buffer.alloc(1024 * 1024, " ")
    await withServer(
      (_, __, response) => {
        let sent = 0
        const more = (): void => {
          for (; sent < 64; sent++) if (!response.write(megabyte)) return
          response.end()
        }
        response.on("drain", more)
        more()
      },
      async (url) => assert.include(await reasonOf(url), "more than 32 MiB"),
    )
  })

  it("is not followed elsewhere", async () => {
    await withServer(
      (_, __, response) => {
        response.writeHead(302, { location: "http://127.0.0.1:2/" })
        response.end()
      },
      async (url) => assert.notStrictEqual(await reasonOf(url), "ECONNREFUSED"),
    )
  })

  it("has so long to answer and no longer", async () => {
    await withServer(
      () => undefined,
      async (url, asked) => {
        const program = Effect.gen(function* () {
          const fiber = yield* Effect.fork(Effect.either(makeTrustedHead(url, 1337n).ask))
          // Asked in both forms, each in its time.
          for (const nth of [1, 2]) {
            while (asked() < nth) {
              yield* Effect.promise(async () => new Promise((resolve) => setImmediate(resolve)))
            }
            yield* TestClock.adjust("5 seconds")
          }
          return yield* Fiber.join(fiber)
        })
        const outcome = await Effect.runPromise(Effect.provide(program, TestContext.TestContext))
        assert(Either.isLeft(outcome))
        assert.strictEqual(outcome.left.reason, "no answer within 5 s")
      },
    )
  })

  it("is asked for beacon blocks once each, since they never change", async () => {
    const root = `0x${"11".repeat(32)}`
    const payload = { block_number: "7", block_hash: `0x${"22".repeat(32)}` }
    const paths: Array<string> = []
    await withServer(
      (request, _, response) => {
        const path = request.url ?? ""
        paths.push(path)
        if (request.method === "POST") return void response.writeHead(405).end()
        if (path.includes("/headers/")) return sayJson(response, { data: { root } })
        if (path.includes("/blocks/")) {
          return sayJson(response, { data: { message: { body: { execution_payload: payload } } } })
        }
        sayJson(response, { data: { finalized: { root }, current_justified: { root } } })
      },
      async (url) => {
        const trusted = makeTrustedHead(`${url}/`, 1337n).ask
        const twice = await Effect.runPromise(Effect.all([trusted, trusted]))
        assert.deepStrictEqual(twice[1].finalized, { number: 7, key: "22".repeat(32) })
        assert.lengthOf(
          paths.filter((path) => path.includes("/blocks/")),
          1,
        )
      },
    )
  })
})
