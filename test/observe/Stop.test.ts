/** The wish to stop: who asks, who hears, what a second signal does. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer } from "effect"
import { Stop, type StopSignal } from "../../src/observe/Stop.ts"
import { Terminal } from "../../src/observe/Terminal.ts"

describe("Stop", () => {
  it.effect("lets the first request stand, for all who wait and all who come later", () =>
    Effect.gen(function* () {
      const stop = yield* Stop
      const waiting = yield* Effect.fork(stop.requested)
      assert.isFalse(yield* stop.isRequested)
      yield* stop.request("SIGTERM")
      yield* stop.request("SIGINT")
      assert.strictEqual(yield* Fiber.join(waiting), "SIGTERM")
      assert.strictEqual(yield* stop.requested, "SIGTERM")
      assert.isTrue(yield* stop.isRequested)
    }).pipe(Effect.provide(Stop.layerMemory)),
  )

  it.effect("hears the process's signals, hands on the second, and leaves no listener", () =>
    Effect.gen(function* () {
      const before = process.listenerCount("SIGINT")
      const again: Array<StopSignal> = []
      let stderr = ""
      const output = { write: (text: string) => (stderr += text) }
      const terminal = Terminal.layerWith({ stdout: output, stderr: output, environment: {} })
      const stopLayer = Stop.layerProcess((signal) => again.push(signal))
      yield* Effect.gen(function* () {
        const stop = yield* Stop
        process.emit("SIGINT", "SIGINT")
        assert.strictEqual(yield* stop.requested, "SIGINT")
        assert.match(stderr, /^annals: SIGINT: [^\n]+\n$/)
        assert.deepEqual(again, [])
        process.emit("SIGTERM", "SIGTERM")
        assert.deepEqual(again, ["SIGTERM"])
      }).pipe(Effect.provide(Layer.provide(stopLayer, terminal)))
      assert.strictEqual(process.listenerCount("SIGINT"), before)
    }),
  )
})
