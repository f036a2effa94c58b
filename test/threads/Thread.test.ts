/** A worker thread as its client has it: told things, heard, and ended. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import os from "node:os"
import path from "node:path"
import { Worker } from "node:worker_threads"
import { assert, describe, it, vi } from "@effect/vitest"
import { Deferred, Effect, type Scope } from "effect"
import { isProgram, startThread, type Thread } from "../../src/threads/Thread.ts"

/** A program that echoes what it is told, fails, ends, or is busy for good. */
const PROGRAM = `
import { parentPort } from "node:worker_threads"
parentPort.on("message", (message) => {
  if (message === "fail") throw new Error("broken")
  if (message === "exit") process.exit(3)
  if (message === "hang") for (;;);
  parentPort.postMessage(message)
})
`

type Request = Uint8Array | "fail" | "exit" | "hang"

interface Started {
  readonly thread: Thread<Request>
  readonly heard: Array<Request>
  readonly overs: Array<string>
  readonly over: Effect.Effect<string>
}

const programFile: Effect.Effect<string, never, Scope.Scope> = Effect.map(
  Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(path.join(os.tmpdir(), "annals-thread-"))),
    (directory) => Effect.sync(() => rmSync(directory, { recursive: true, force: true })),
  ),
  (directory) => {
    const file = path.join(directory, "echo.mjs")
    writeFileSync(file, PROGRAM)
    return file
  },
)

const started = (onHeard: () => void = () => undefined) =>
  Effect.gen(function* () {
    const program = yield* programFile
    const over = yield* Deferred.make<string>()
    const heard: Array<Request> = []
    const overs: Array<string> = []
    const thread = startThread<Request, Request>({
      program,
      name: "annals-test",
      heard: (reply) => {
        heard.push(reply)
        onHeard()
      },
      over: (why) => {
        overs.push(why)
        Deferred.unsafeDone(over, Effect.succeed(why))
      },
    })
    yield* Effect.addFinalizer(() => thread.terminate)
    return { thread, heard, overs, over: Deferred.await(over) } satisfies Started
  })

describe("a thread", () => {
  it.scopedLive("is heard, and takes buffers along", () =>
    Effect.gen(function* () {
      const echoed = yield* Deferred.make<void>()
      const { thread, heard } = yield* started(() => Deferred.unsafeDone(echoed, Effect.void))
      const bytes = Uint8Array.of(1, 2, 3)
      thread.tell(bytes, [bytes.buffer])
      assert.strictEqual(bytes.length, 0)
      yield* Deferred.await(echoed)
      assert.deepEqual(heard, [Uint8Array.of(1, 2, 3)])
    }),
  )

  it.scopedLive("that fails, or ends, tells once why it is over", () =>
    Effect.gen(function* () {
      for (const [word, why] of [
        ["fail", "failed: Error: broken"],
        ["exit", "ended with code 3"],
      ] as const) {
        const { thread, overs, over } = yield* started()
        thread.tell(word)
        assert.strictEqual(yield* over, why)
        yield* thread.terminate
        assert.deepEqual(overs, [why])
      }
    }),
  )

  it.scopedLive("whose message cannot be read is over, and is ended", () =>
    Effect.gen(function* () {
      const told = vi.spyOn(Worker.prototype, "postMessage")
      yield* Effect.addFinalizer(() => Effect.sync(() => told.mockRestore()))
      const { thread, overs, over } = yield* started()
      thread.tell(new Uint8Array(1))
      const [worker] = told.mock.contexts
      if (!(worker instanceof Worker)) return assert.fail("it was told nothing")
      const ended = yield* Deferred.make<void>()
      worker.once("exit", () => Deferred.unsafeDone(ended, Effect.void))
      worker.emit("messageerror", new Error("torn"))
      assert.strictEqual(yield* over, "sent what cannot be read: Error: torn")
      yield* Effect.timeout(Deferred.await(ended), "10 seconds")
      assert.lengthOf(overs, 1)
    }),
  )

  it.scopedLive("is ended in time, whatever it is at", () =>
    Effect.gen(function* () {
      const echoed = yield* Deferred.make<void>()
      const { thread, over } = yield* started(() => Deferred.unsafeDone(echoed, Effect.void))
      thread.tell(new Uint8Array(1))
      yield* Deferred.await(echoed)
      thread.tell("hang")
      yield* Effect.uninterruptible(thread.endAfter(Effect.never, 20))
      assert.match(yield* over, /^ended with code \d$/)
    }),
  )
})

describe("isProgram", () => {
  it.scoped("is told of files that are there alone", () =>
    Effect.gen(function* () {
      const file = yield* programFile
      assert.isTrue(isProgram(file))
      assert.isFalse(isProgram(`${file}x`))
      assert.isFalse(isProgram(undefined))
    }),
  )
})
