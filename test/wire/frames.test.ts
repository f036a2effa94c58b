import { FastCheck as fc } from "effect"
import { assert, describe, it } from "vitest"
import { concatBytes } from "../../src/domain/rlp.ts"
import {
  FrameError,
  FrameReader,
  type FrameSecrets,
  FrameWriter,
  MAX_FRAME_BYTES,
} from "../../src/wire/frames.ts"
import { cutBy, secretPair } from "./support.ts"

const collect = (secrets: FrameSecrets) => {
  const bodies: Array<Uint8Array> = []
  const sizes: Array<number> = []
  const reader = new FrameReader(secrets, {
    header: (size) => sizes.push(size),
    frame: (body) => bodies.push(body.slice()),
  })
  return { bodies, sizes, reader }
}

const bytes = (bodies: ReadonlyArray<Uint8Array>) => bodies.map((each) => Buffer.from(each))

describe("frames", () => {
  it("come out as they went in, wherever they are cut", () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ maxLength: 300 }), { minLength: 1, maxLength: 8 }),
        fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 1, maxLength: 20 }),
        (sent, cuts) => {
          const [ours, theirs] = secretPair()
          const writer = new FrameWriter(ours)
          const wire = concatBytes(sent.map((body) => writer.frame(body)))
          const { reader, bodies, sizes } = collect(theirs)
          for (const chunk of cutBy(cuts)(wire)) {
            reader.push(chunk)
            // The reader must not look at a chunk again: transports reuse them.
            chunk.fill(0)
          }
          assert.deepStrictEqual(bytes(bodies), bytes(sent))
          assert.deepStrictEqual(
            sizes,
            sent.map((body) => body.length),
          )
        },
      ),
      { numRuns: 300 },
    )
  })

  it("join the parts of a body", () => {
    const [ours, theirs] = secretPair()
    const { reader, bodies } = collect(theirs)
    reader.push(new FrameWriter(ours).frame(Uint8Array.of(1, 2), Uint8Array.of(3)))
    assert.deepStrictEqual(bytes(bodies), [Buffer.from([1, 2, 3])])
  })

  it("with any bit flipped are refused, and nothing of that frame comes out", () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 1, maxLength: 100 }),
        fc.nat(),
        fc.integer({ min: 0, max: 7 }),
        (body, where, bit) => {
          const [ours, theirs] = secretPair()
          const writer = new FrameWriter(ours)
          const first = writer.frame(Uint8Array.of(9))
          const second = writer.frame(body)
          const at = where % second.length
          second[at]! ^= 1 << bit
          const { reader, bodies, sizes } = collect(theirs)
          reader.push(first)
          try {
            reader.push(second)
            assert.fail("the frame was believed")
          } catch (error) {
            assert.instanceOf(error, FrameError)
            assert.strictEqual(error.reason, at < 32 ? "bad_header_mac" : "bad_body_mac")
          }
          assert.deepStrictEqual(bytes(bodies), [Buffer.from([9])])
          assert.lengthOf(sizes, at < 32 ? 1 : 2)
        },
      ),
      { numRuns: 200 },
    )
  })

  it("out of order or from another connection are refused", () => {
    const [ours, theirs] = secretPair()
    const writer = new FrameWriter(ours)
    writer.frame(Uint8Array.of(1))
    const second = writer.frame(Uint8Array.of(2))
    assert.throws(() => collect(theirs).reader.push(second), FrameError)
    const [stranger] = secretPair()
    const other = new FrameWriter(stranger).frame(Uint8Array.of(1))
    assert.throws(() => collect(theirs).reader.push(other), FrameError)
  })

  it("tell their size before their body came", () => {
    const [ours, theirs] = secretPair()
    const { reader, bodies, sizes } = collect(theirs)
    const frame = new FrameWriter(ours).frame(new Uint8Array(100_000))
    reader.push(frame.subarray(0, 32))
    assert.deepStrictEqual(sizes, [100_000])
    reader.push(frame.subarray(32))
    assert.lengthOf(bodies, 1)
  })

  it("above what three bytes can say are not written", () => {
    const [ours] = secretPair()
    const writer = new FrameWriter(ours)
    assert.throws(() => writer.frame(new Uint8Array(MAX_FRAME_BYTES), Uint8Array.of(1)), FrameError)
  })

  it("as large as can be arrive whole", () => {
    const [ours, theirs] = secretPair()
    const { reader, bodies } = collect(theirs)
    const body = new Uint8Array(MAX_FRAME_BYTES).fill(7)
    const wire = new FrameWriter(ours).frame(body)
    for (let at = 0; at < wire.length; at += 65_536) reader.push(wire.subarray(at, at + 65_536))
    assert.isTrue(Buffer.from(body).equals(bodies[0]!))
  })
})

describe("frames of several connections", () => {
  it("do not mix, though readers share the memory for what is not whole yet", () => {
    const links = [1, 2, 3, 4, 5, 6].map((fill) => {
      const [ours, theirs] = secretPair()
      const { reader, bodies } = collect(theirs)
      return { fill, writer: new FrameWriter(ours), reader, bodies }
    })
    for (const size of [200_000, 70_000, 150_000]) {
      const wires = links.map(({ fill, writer }) => writer.frame(new Uint8Array(size).fill(fill)))
      for (let at = 0; at < wires[0]!.length; at += 50_000) {
        for (const [i, { reader }] of links.entries()) {
          reader.push(wires[i]!.subarray(at, at + 50_000))
        }
      }
    }
    for (const { fill, bodies } of links) {
      assert.deepStrictEqual(
        bodies.map((body) => body.length),
        [200_000, 70_000, 150_000],
      )
      assert.isTrue(bodies.every((body) => body.every((byte) => byte === fill)))
    }
  })
})

describe("a held reader", () => {
  it("keeps what comes and hands it out in order, wherever it is held", () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ maxLength: 60 }), { minLength: 1, maxLength: 10 }),
        fc.array(fc.integer({ min: 1, max: 150 }), { minLength: 1, maxLength: 10 }),
        fc.array(fc.boolean(), { minLength: 1, maxLength: 10 }),
        (sent, cuts, holds) => {
          const [ours, theirs] = secretPair()
          const writer = new FrameWriter(ours)
          const wire = concatBytes(sent.map((body) => writer.frame(body)))
          const bodies: Array<Uint8Array> = []
          let held = false
          let calls = 0
          const maybeHold = () => {
            assert.isFalse(held, "told while held")
            if (holds[calls++ % holds.length]) {
              held = true
              reader.hold()
            }
          }
          const reader = new FrameReader(theirs, {
            header: maybeHold,
            frame: (body) => {
              bodies.push(body.slice())
              maybeHold()
            },
          })
          for (const chunk of cutBy(cuts)(wire)) reader.push(chunk)
          while (held) {
            held = false
            reader.release()
          }
          assert.deepStrictEqual(bytes(bodies), bytes(sent))
        },
      ),
      { numRuns: 300 },
    )
  })
})
