import { assert, describe, it } from "@effect/vitest"
import { Effect, FastCheck as fc, Fiber } from "effect"
import { makeByteGate } from "../../src/fetch/ByteGate.ts"

describe("ByteGate", () => {
  it.effect("grants first come first served, so that a large one is not starved", () =>
    Effect.gen(function* () {
      const gate = makeByteGate(100)
      const order: Array<string> = []
      const take = (name: string, bytes: number) =>
        Effect.fork(Effect.tap(gate.reserve(bytes), () => Effect.sync(() => order.push(name))))
      yield* gate.reserve(60)
      yield* take("large", 80)
      yield* take("small", 10)
      yield* Effect.yieldNow()
      assert.deepStrictEqual(order, [])
      gate.release(60)
      yield* Effect.yieldNow()
      assert.deepStrictEqual(order, ["large", "small"])
    }),
  )

  it.effect("grants a reservation above the whole budget alone", () =>
    Effect.gen(function* () {
      const gate = makeByteGate(100)
      yield* gate.reserve(1_000)
      const next = yield* Effect.fork(gate.reserve(1))
      yield* Effect.yieldNow()
      assert.strictEqual((yield* Fiber.poll(next))._tag, "None")
      gate.release(1_000)
      yield* Fiber.join(next)
      assert.strictEqual(gate.free(), 99)
    }),
  )

  it.effect("grants a reservation above the budget although room for headers is held", () =>
    Effect.gen(function* () {
      const gate = makeByteGate(100, 60)
      yield* gate.reserve(20)
      yield* gate.reserve(20)
      // More than the budget, less than all: whoever holds the headers waits for this one.
      yield* gate.reserve(150)
      assert.strictEqual(gate.free(), -30)
      gate.release(190)
      assert.strictEqual(gate.free(), 160)
    }),
  )

  it.effect("gives back what was granted to one that is interrupted", () =>
    Effect.gen(function* () {
      const gate = makeByteGate(100)
      yield* gate.reserve(100)
      const waiting = yield* Effect.fork(gate.reserve(50))
      const behind = yield* Effect.fork(gate.reserve(10))
      yield* Effect.yieldNow()
      yield* Fiber.interrupt(waiting)
      gate.release(100)
      yield* Fiber.join(behind)
      assert.strictEqual(gate.free(), 90)
    }),
  )

  it.effect("holds frames back only when as much again as the budget is overdrawn", () =>
    Effect.gen(function* () {
      const gate = makeByteGate(100)
      gate.overdraw(199)
      assert.isUndefined(gate.admitFrame())
      gate.overdraw(1)
      const admitted = gate.admitFrame()
      assert.isDefined(admitted)
      gate.release(1)
      yield* Effect.promise(async () => admitted)
    }),
  )

  it("never grants beyond the budget, and loses nothing, in any order of calls", async () => {
    const move = fc.oneof(
      fc.record({ kind: fc.constant("reserve" as const), bytes: fc.integer({ min: 1, max: 150 }) }),
      fc.record({ kind: fc.constant("release" as const), bytes: fc.nat(30) }),
      fc.record({ kind: fc.constant("interrupt" as const), bytes: fc.nat(30) }),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(move, { maxLength: 60 }), async (moves) => {
        const program = Effect.gen(function* () {
          const gate = makeByteGate(100)
          const held: Array<number> = []
          const waiting: Array<Fiber.RuntimeFiber<void>> = []
          for (const { kind, bytes } of moves) {
            if (kind === "reserve") {
              const fiber = yield* Effect.fork(
                Effect.map(gate.reserve(bytes), () => {
                  held.push(bytes)
                }),
              )
              waiting.push(fiber)
            } else if (kind === "release" && held.length > 0) {
              gate.release(held.splice(bytes % held.length, 1)[0]!)
            } else if (kind === "interrupt" && waiting.length > 0) {
              yield* Fiber.interrupt(waiting[bytes % waiting.length]!)
            }
            yield* Effect.yieldNow()
            const sum = held.reduce((total, each) => total + each, 0)
            assert.strictEqual(gate.free(), 100 - sum)
            assert.isTrue(sum <= 100 || held.length === 1)
          }
        })
        await Effect.runPromise(program)
      }),
    )
  })
})
