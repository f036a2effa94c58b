import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Layer, Logger, TestClock } from "effect"
import { NetworkCounters } from "../../src/observe/networkCounters.ts"
import { layerNetworkLog, NETWORK_LOG_MS } from "../../src/observe/NetworkLog.ts"
import { networkLine } from "../../src/observe/networkLine.ts"
import { Stats } from "../../src/observe/Stats.ts"

describe("the line about peers", () => {
  it("names what is most frequent", () => {
    const network = new NetworkCounters()
    network.discovered = 340
    network.dialled = 120
    for (let i = 0; i < 3; i++) network.refusedFor("too_many_peers")
    network.refusedFor("wrong_genesis")
    network.sessionOpened("Geth/v1.17.5/linux", 69, false)
    network.sessionOpened("reth/v2.5", 70, true)
    network.sessionClosed("peer", "too_many_peers")
    assert.strictEqual(
      networkLine(network, 1),
      "peers: 1 connected; 340 discovered; 120 dialled; 4 refused (too_many_peers 3, wrong_genesis 1); sessions 2 opened (1 by peers), 1 closed; clients (geth 1, reth 1); versions (eth/69 1, eth/70 1)",
    )
  })

  it("tells of peers that were turned away and of those that broke the rules", () => {
    const network = new NetworkCounters()
    network.inboundRefusedFor("opening_full")
    for (let i = 0; i < 2; i++) network.broken("flood")
    network.broken("bad_frame")
    assert.include(
      networkLine(network, 0),
      "; turned away 1 (opening_full 1); broke the rules 3 (flood 2, bad_frame 1); ",
    )
  })

  it("stays one line of bounded length whatever peers say of themselves", () => {
    const network = new NetworkCounters()
    for (let i = 0; i < 1_000; i++) network.sessionOpened(`client${i}/v1`, 69, false)
    const line = networkLine(network, 1_000)
    assert.notInclude(line, "\n")
    assert.isBelow(line.length, 500)
  })

  it.effect("is logged every 30 seconds", () =>
    Effect.gen(function* () {
      const lines: Array<unknown> = []
      const logger = Logger.make(({ message }) => lines.push(message))
      yield* Effect.gen(function* () {
        yield* TestClock.adjust(Duration.millis(NETWORK_LOG_MS - 1))
        assert.lengthOf(lines, 0)
        yield* TestClock.adjust(Duration.millis(1 + NETWORK_LOG_MS))
        assert.lengthOf(lines, 2)
      }).pipe(
        Effect.provide(
          layerNetworkLog.pipe(
            Layer.provide(Stats.layer),
            Layer.provide(Logger.replace(Logger.defaultLogger, logger)),
          ),
        ),
      )
    }),
  )
})
