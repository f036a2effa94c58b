import { assert, describe, it } from "@effect/vitest"
import { memoryPair } from "../../src/wire/MemoryTransport.ts"

describe("the transport in memory", () => {
  it("tells who had to wait that all is read, whatever was written since", () => {
    const deliveries: Array<() => void> = []
    const deliver = (count: number): void => {
      for (const run of deliveries.splice(0, count)) run()
    }
    const [ours, theirs] = memoryPair({
      highWaterBytes: 10,
      schedule: (run) => void deliveries.push(run),
    })
    let drained = 0
    ours.attach({ data: () => {}, drain: () => (drained += 1), close: () => {} })
    theirs.attach({ data: () => {}, drain: () => {}, close: () => {} })
    deliver(2)
    assert.isTrue(ours.write(new Uint8Array(8)))
    assert.isFalse(ours.write(new Uint8Array(8)))
    // The first is read; with what comes now it is below the mark, and not empty.
    deliver(1)
    assert.isTrue(ours.write(new Uint8Array(1)))
    assert.strictEqual(drained, 0)
    deliver(2)
    assert.strictEqual(drained, 1)
  })
})
