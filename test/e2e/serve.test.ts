/** `annals serve`, built, as a user runs it, and the server's thread beside a sync. */
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { createServer } from "node:net"
import os from "node:os"
import path from "node:path"
import { createInterface } from "node:readline"
import { Cause, Effect, Exit, Scope } from "effect"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { defaultRpcLimits } from "../../src/rpc/rpcLimits.ts"
import type { ServeError } from "../../src/rpc/server/ServeError.ts"
import { startServing, startServingWith } from "../../src/rpc/server/ServeThread.ts"
import { eventually, result, SocketClient } from "../rpc/server/support.ts"
import { run, start, type Running } from "../support/program.ts"

let directory = ""

beforeAll(async () => {
  directory = await mkdtemp(path.join(os.tmpdir(), "annals-serve-"))
  const { code, stderr } = await run([
    "sync",
    "--network=devnet",
    "--min-peers=10",
    "--end-block=200",
    `--data-dir=${directory}`,
  ])
  assert.strictEqual(code, 0, stderr)
})

afterAll(async () => rm(directory, { recursive: true, force: true }))

/** Starts `annals serve` and waits for the line that says where. */
const serve = async (
  ...args: ReadonlyArray<string>
): Promise<Running & { readonly url: string }> => {
  const running = start(["serve", `--data-dir=${directory}`, "--http-port=0", ...args])
  const url = await new Promise<string>((resolve, reject) => {
    createInterface({ input: running.child.stderr! }).on("line", (line) => {
      const [found] = /http:\/\/\S+/.exec(line) ?? []
      if (found !== undefined) resolve(found)
    })
    void running.outcome.then(({ stderr }) => reject(new Error(stderr)))
  })
  return { ...running, url }
}

describe("annals serve", () => {
  it("serves until it is stopped, and ends in order with the signal's code", async () => {
    const { child, outcome, url } = await serve()
    assert.strictEqual(await result(url, "eth_blockNumber"), "0xc8")
    const block = await result(url, "eth_getBlockByNumber", "0xc8", true)
    assert.nestedPropertyVal(block, "number", "0xc8")
    const client = new SocketClient(url)
    await client.opened
    child.kill("SIGTERM")
    assert.strictEqual(await client.closed, 1001)
    const { code, stdout } = await outcome
    assert.strictEqual(code, 143)
    assert.strictEqual(stdout, "")
  })

  it("says in one line that a port is taken, and ends with 2", async () => {
    const other = createServer()
    await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve))
    const address = other.address()
    const port = typeof address === "object" ? address?.port : undefined
    const { code, stderr } = await run(["serve", `--data-dir=${directory}`, `--http-port=${port}`])
    other.close()
    assert.strictEqual(code, 2)
    assert.match(
      stderr,
      new RegExp(`annals: nothing can listen at 127.0.0.1, port ${port}: another`),
    )
  })

  it("ends with 7 where there is no store, and makes none", async () => {
    const missing = path.join(directory, "nothing")
    const { code, stderr } = await run(["serve", `--data-dir=${missing}`, "--http-port=0"])
    assert.strictEqual(code, 7)
    assert.include(stderr, "annals: ")
  })

  it("sees what a sync writes while it serves", async () => {
    const { child, outcome, url } = await serve()
    const filter = await result(url, "eth_newBlockFilter")
    const { code } = await run([
      "sync",
      "--network=devnet",
      "--min-peers=10",
      "--end-block=300",
      `--data-dir=${directory}`,
    ])
    assert.strictEqual(code, 0)
    assert.strictEqual(await result(url, "eth_blockNumber"), "0x12c")
    const changes = await result(url, "eth_getFilterChanges", filter)
    assert.strictEqual(Array.isArray(changes) ? changes.length : 0, 100)
    child.kill("SIGINT")
    assert.strictEqual((await outcome).code, 130)
  })
})

const settings = () => ({
  directory,
  host: "127.0.0.1",
  port: 0,
  hosts: [],
  origins: [],
  limits: defaultRpcLimits,
  clientVersion: "annals/test",
})
const failure = async (
  effect: Effect.Effect<unknown, ServeError, Scope.Scope>,
): Promise<ServeError["failure"] | undefined> => {
  const exit = await Effect.runPromiseExit(Effect.scoped(effect))
  if (Exit.isSuccess(exit)) return undefined
  const error = Cause.failureOption(exit.cause)
  return error._tag === "Some" ? error.value.failure : undefined
}

describe("the server's thread", () => {
  const voice = {
    report: () =>
      ({
        phase: "backfill",
        startBlock: 0,
        targetBlock: 900,
        headBlock: 1000,
        blocksBehind: 700,
        behindSinceMs: 5,
        reorgs: 0,
      }) as const,
    metricsText: () => "annals_sync_says 1\n",
  }

  it("serves, tells how the sync stands, and ends with its scope", async () => {
    const scope = Effect.runSync(Scope.make())
    const serving = await Effect.runPromise(Scope.extend(startServing(settings(), voice), scope))
    const { url } = serving
    assert.strictEqual(await result(url, "eth_chainId"), "0x539")
    await eventually(async () => (await result(url, "eth_syncing")) !== false)
    assert.deepInclude(await result(url, "eth_syncing"), { highestBlock: "0x3e8" })
    const ready = await fetch(`${url}/ready`)
    assert.deepEqual(
      [ready.status, await ready.text()],
      [503, "not ready: the sync is at its backfill\n"],
    )
    assert.include(await (await fetch(`${url}/metrics`)).text(), "annals_sync_says 1\n")
    await Effect.runPromise(Scope.close(scope, Exit.void))
    const after = await fetch(`${url}/health`).catch(() => undefined)
    assert.isUndefined(after)
  })

  it("says why it cannot serve", async () => {
    const nowhere = { ...settings(), directory: path.join(directory, "nothing") }
    assert.deepInclude(await failure(startServing(nowhere, voice)), { kind: "store" })
    const far = { ...settings(), host: "192.0.2.1" }
    assert.deepInclude(await failure(startServing(far, voice)), {
      kind: "listen",
      host: "192.0.2.1",
    })
    const missing = startServingWith(settings(), voice, undefined)
    assert.deepInclude(await failure(missing), { kind: "thread" })
  })

  it("tells whoever waits when it ends by itself", async () => {
    const program = path.join(directory, "dying.mjs")
    const listening = JSON.stringify({
      kind: "listening",
      at: { url: "http://127.0.0.1:1", port: 1 },
    })
    const lines = [
      'import { parentPort } from "node:worker_threads"',
      'parentPort.once("message", () => {',
      `  parentPort.postMessage(${listening})`,
      "  setTimeout(() => process.exit(3), 50)",
      "})",
    ]
    await writeFile(program, lines.join("\n"))
    const outlived = Effect.flatMap(
      startServingWith(settings(), voice, program),
      ({ ended }) => ended,
    )
    assert.deepEqual(await failure(outlived), { kind: "thread", detail: "it ended with code 3" })
  })
})
