/**
 * Threads that do not end when they are asked to: whoever waits for them waits only so long, and the
 * built program ends with its signal's code all the same.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { cpSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import os from "node:os"
import path from "node:path"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import { it as effectIt } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Option, Scope, TestClock } from "effect"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { defaultRpcLimits } from "../../src/rpc/rpcLimits.ts"
import { startServingWith } from "../../src/rpc/server/ServeThread.ts"
import { HistoryReader } from "../../src/serving/HistoryReader.ts"
import { Indexer, layerIndexerWith } from "../../src/write/chainIndex/ChainIndexer.ts"
import { layerStoreReaderWith } from "../../src/write/StoreReader.ts"
import { run } from "../support/program.ts"

let scratch = ""
beforeAll(() => {
  scratch = mkdtempSync(path.join(os.tmpdir(), "annals-ending-"))
})
afterAll(() => rmSync(scratch, { recursive: true, force: true }))

/** A program of a thread that says something first and then does not listen. */
const program = (name: string, says: unknown, then: "idles" | "loops"): string => {
  const file = path.join(scratch, `${name}-${then}.mjs`)
  const lines = [
    'import { parentPort } from "node:worker_threads"',
    `parentPort.on("message", () => {})`,
    `parentPort.postMessage(${JSON.stringify(says)})`,
    then === "loops" ? "setTimeout(() => { for (;;) {} }, 50)" : "setInterval(() => {}, 1000)",
  ]
  writeFileSync(file, lines.join("\n"))
  return file
}

const turn = Effect.promise(async () => new Promise((resolve) => setTimeout(resolve, 5)))

/** Closes a scope; the seconds that it waited, by the test's clock. */
const closingTakes = (scope: Scope.CloseableScope) =>
  Effect.gen(function* () {
    const closing = yield* Effect.fork(Scope.close(scope, Exit.void))
    for (let seconds = 0; seconds < 100; seconds++) {
      // Without waiting it is over at once; a thread is ended in real time.
      for (let turns = 0; turns < 20; turns++) {
        yield* turn
        if (Option.isSome(yield* Fiber.poll(closing))) return seconds
      }
      yield* TestClock.adjust("1 second")
    }
    return Infinity
  })

const listening = { kind: "listening", at: { url: "http://127.0.0.1:1", port: 1 } }
const settings = {
  directory: "nowhere",
  host: "127.0.0.1",
  port: 0,
  hosts: [],
  origins: [],
  limits: defaultRpcLimits,
  clientVersion: "annals/test",
}
const voice = {
  report: () =>
    ({
      phase: "following",
      startBlock: 0,
      targetBlock: 1,
      headBlock: 1,
      blocksBehind: 0,
      behindSinceMs: undefined,
      reorgs: 0,
    }) as const,
  metricsText: () => "",
}

/** Starts a thread, and closes its scope after exactly so many seconds. */
const closes = (
  start: (scope: Scope.Scope) => Effect.Effect<unknown, unknown>,
  withinSeconds: number,
) =>
  Effect.gen(function* () {
    const scope = yield* Scope.make()
    yield* start(scope)
    yield* Effect.promise(async () => new Promise((resolve) => setTimeout(resolve, 300)))
    const seconds = yield* closingTakes(scope)
    assert.isAtLeast(seconds, withinSeconds - 1)
    assert.isAtMost(seconds, withinSeconds + 1)
  })

describe.each(["idles", "loops"] as const)("a thread that %s and does not end", (then) => {
  effectIt.effect("is the server's: ten seconds are waited", () =>
    closes(
      (scope) =>
        Scope.extend(startServingWith(settings, voice, program("server", listening, then)), scope),
      10,
    ),
  )

  effectIt.effect("is the index's: ten seconds are waited", () =>
    closes(
      (scope) =>
        Scope.extend(
          Effect.flatMap(
            Layer.build(layerIndexerWith("nowhere", program("index", {}, then))),
            (services) => Effect.provide(Indexer, services),
          ),
          scope,
        ),
      10,
    ),
  )

  effectIt.effect("is the reader's: five seconds are waited", () =>
    closes(
      (scope) =>
        Effect.gen(function* () {
          const layer = layerStoreReaderWith("nowhere", program("reader", {}, then))
          const reader = yield* Effect.provide(HistoryReader, yield* Layer.build(layer))
          // The first question starts it.
          yield* Effect.forkScoped(reader.held)
          yield* turn
        }).pipe(Scope.extend(scope)),
      5,
    ),
  )
})

const root = fileURLToPath(new URL("../..", import.meta.url))

/** The built program with a thread that hears all but the word to end. */
const dawdling = (thread: string): string => {
  const folder = mkdtempSync(path.join(scratch, "program-"))
  cpSync(path.join(root, "dist"), path.join(folder, "dist"), { recursive: true })
  symlinkSync(path.join(root, "node_modules"), path.join(folder, "node_modules"))
  writeFileSync(path.join(folder, "package.json"), '{ "type": "module", "version": "0.0.0" }')
  const file = path.join(folder, "dist", thread)
  renameSync(file, file.replace(".js", ".real.js"))
  const lines = [
    'import { parentPort } from "node:worker_threads"',
    "const on = parentPort.on.bind(parentPort)",
    "const isEnd = ({ kind, call }) => kind === 'stop' || call === 'close'",
    "parentPort.on = (name, hear) => on(name, (message) => isEnd(message) || hear(message))",
    `await import("./${path.basename(thread, ".js")}.real.js")`,
  ]
  writeFileSync(file, lines.join("\n"))
  return path.join(folder, "dist", "main.js")
}

interface Ended {
  readonly code: number | null
  readonly ms: number
  readonly said: string
}

/** Starts a program, waits until it says something, gives it a signal, and sees how it ends. */
const endOf = async (
  main: string,
  args: ReadonlyArray<string>,
  when: string,
  signal: NodeJS.Signals,
): Promise<Ended> => {
  const child: ChildProcess = spawn(process.execPath, [main, ...args, "--http-port=0"], {
    stdio: ["ignore", "ignore", "pipe"],
    env: { ...process.env, ANNALS_NO_DISCOVERY: "true" },
  })
  const limit = setTimeout(() => child.kill("SIGKILL"), 60_000)
  let said = ""
  const ended = new Promise<number | null>((resolve) => child.on("close", resolve))
  await new Promise<void>((resolve) => {
    createInterface({ input: child.stderr! }).on("line", (line) => {
      said += `${line}\n`
      if (line.includes(when)) resolve()
    })
    void ended.then(() => resolve())
  })
  const beganMs = Date.now()
  child.kill(signal)
  const code = await ended
  clearTimeout(limit)
  return { code, ms: Date.now() - beganMs, said }
}

describe("the program whose threads do not end", () => {
  it("ends all the same, with its signal's code, in little more than ten seconds", async () => {
    const stored = `--data-dir=${path.join(scratch, "stored")}`
    const { code, stderr } = await run([
      "sync",
      "--network=devnet",
      "--min-peers=10",
      "--end-block=100",
      stored,
    ])
    assert.strictEqual(code, 0, stderr)
    const followed = `--data-dir=${path.join(scratch, "followed")}`
    const [server, index] = await Promise.all([
      endOf(
        dawdling("rpc/server/serverThread.js"),
        ["sync", "--network=devnet", "--follow", "--serve", followed],
        "following the head",
        "SIGTERM",
      ),
      endOf(
        dawdling("write/chainIndex/chainIndexThread.js"),
        ["serve", stored],
        "is served at",
        "SIGINT",
      ),
    ])
    assert.strictEqual(server.code, 143, server.said)
    assert.strictEqual(index.code, 130, index.said)
    for (const { ms, said } of [server, index]) {
      // They were waited for, and not for long.
      assert.isAtLeast(ms, 9_000, said)
      assert.isBelow(ms, 20_000, said)
    }
  }, 100_000)
})
