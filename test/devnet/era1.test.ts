import { Compressor } from "snappy"
import { FastCheck as fc } from "effect"
import { assert, beforeAll, describe, it } from "vitest"
import { isEra1, readEra1 } from "../../src/devnet/era1.ts"
import { generateChain } from "../../src/devnet/generatedChain.ts"
import { ChainFileInvalid, makeServedChain } from "../../src/devnet/servedChain.ts"
import { concatBytes } from "../../src/domain/rlp.ts"

const entry = (type: number, data: Uint8Array): Uint8Array => {
  const head = new DataView(new ArrayBuffer(8))
  head.setUint16(0, type, true)
  head.setUint32(2, data.length, true)
  return concatBytes([new Uint8Array(head.buffer), data])
}

/** Snappy's framing format, written by the library's own stream compressor. */
const frame = async (content: Uint8Array): Promise<Uint8Array> => {
  const compressor = new Compressor()
  return concatBytes([compressor.update(content), await compressor.finish()])
}

const words = (...values: ReadonlyArray<number>): Uint8Array => {
  const view = new DataView(new ArrayBuffer(8 * values.length))
  for (const [i, value] of values.entries()) view.setBigUint64(8 * i, BigInt(value), true)
  return new Uint8Array(view.buffer)
}

const chain = generateChain({ blocks: 6, shape: "light", seed: 3 })
const difficultyOf = (number: number) => 2n ** 70n + BigInt(number)

/** The 32-byte little-endian form in which era1 files keep total difficulty. */
const difficultyBytes = (number: number): Uint8Array =>
  Uint8Array.from({ length: 32 }, (_, i) => Number((difficultyOf(number) >> BigInt(8 * i)) & 0xffn))

/** The entries of a small era1 file over blocks 1 to 6. */
const makeEntries = async (): Promise<Array<Uint8Array>> => {
  const entries = [entry(0x3265, new Uint8Array(0))]
  for (let number = 1; number <= 6; number++) {
    entries.push(
      entry(0x03, await frame(chain.headerAt(number)!)),
      entry(0x04, await frame(chain.bodyAt(number)!)),
      entry(0x05, await frame(chain.receipts68At(number)!)),
      entry(0x06, difficultyBytes(number)),
    )
  }
  entries.push(entry(0x07, new Uint8Array(32)))
  entries.push(entry(0x3266, words(1, 0, 0, 0, 0, 0, 0, 6)))
  return entries
}

let entries: ReadonlyArray<Uint8Array>
let file: Uint8Array
beforeAll(async () => {
  entries = await makeEntries()
  file = concatBytes(entries)
})

const failure = (run: () => unknown): unknown => {
  try {
    run()
  } catch (error) {
    return error
  }
  return undefined
}

const reasonOf = (bytes: Uint8Array): string => {
  const error = failure(() => readEra1(bytes, "a.era1"))
  assert.instanceOf(error, ChainFileInvalid)
  assert.strictEqual(error.path, "a.era1")
  assert.isAtMost(error.offset, bytes.length)
  return error.reason
}

/** Why a file is refused whose first header entry holds `data`. */
const reasonOfHeader = (data: Uint8Array): string =>
  reasonOf(concatBytes(entries.with(1, entry(0x03, data))))

describe("readEra1", () => {
  it("reads headers, bodies, receipts and total difficulty", () => {
    assert.isTrue(isEra1(file))
    const read = makeServedChain(readEra1(file, "a.era1"))
    assert.deepEqual([read.firstBlock, read.lastBlock], [1, 6])
    for (let number = 1; number <= 6; number++) {
      assert.deepEqual(read.headerAt(number), chain.headerAt(number))
      assert.deepEqual(read.bodyAt(number), chain.bodyAt(number))
      assert.deepEqual(read.receipts68At(number), chain.receipts68At(number))
      assert.strictEqual(read.totalDifficultyAt(number), difficultyOf(number))
    }
  })

  it("passes over entries of unknown type and skippable chunks", async () => {
    const padding = Uint8Array.of(0xfe, 2, 0, 0, 0, 0)
    const header = concatBytes([await frame(chain.headerAt(1)!), padding])
    const more = [...entries]
    more[1] = entry(0x03, header)
    more.splice(5, 0, entry(0x1234, Uint8Array.of(1, 2, 3)))
    assert.strictEqual(readEra1(concatBytes(more), "a.era1").length, 6)
  })

  it("reads content of several chunks, packed or plain", async () => {
    // Noise does not shrink, so the compressor leaves it plain.
    let state = 1
    const noise = Uint8Array.from({ length: 70_000 }, () => {
      state = Math.imul(state, 1_664_525) + 1_013_904_223
      return state >>> 24
    })
    for (const body of [noise, new Uint8Array(200_000)]) {
      const more = entries.with(2, entry(0x04, await frame(body)))
      assert.deepEqual(readEra1(concatBytes(more), "a.era1")[0]?.body, body)
    }
  })

  it("says what is wrong, and where", () => {
    const swapped = [...entries.slice(0, 1), entries[2]!, entries[1]!, ...entries.slice(3)]
    assert.match(reasonOf(concatBytes(swapped)), /entry 4 where 3 is due/)
    assert.match(reasonOf(concatBytes(entries.slice(0, -1))), /no block index/)
    assert.match(reasonOf(concatBytes(entries.slice(0, 3))), /ends inside a block/)
    assert.match(reasonOf(file.subarray(0, file.length - 1)), /ends inside an entry/)
    assert.match(reasonOf(file.subarray(8)), /no e2store version/)
    assert.match(reasonOf(file.with(7, 1)), /reserved bytes/)
    const index = entries.slice(0, -1)
    const with2 = (data: Uint8Array) => concatBytes([...index, entry(0x3266, data)])
    assert.match(reasonOf(with2(words(2, 0, 0, 0, 0, 0, 0, 6))), /from 2 on, not 1/)
    assert.match(reasonOf(with2(words(1, 0, 0, 0, 0, 0, 0, 7))), /over 7 blocks/)
    assert.match(reasonOf(with2(words(1, 0, 0, 0, 0, 0, 6))), /for 6 blocks/)
    const difficulty = entries.with(4, entry(0x06, new Uint8Array(31)))
    assert.match(reasonOf(concatBytes(difficulty)), /total difficulty/)
  })

  it("checks stream identifier, checksum and declared length before it unpacks", async () => {
    const framed = await frame(chain.headerAt(1)!)
    // Ten bytes of stream identifier, four of chunk header, four of checksum, then the content.
    assert.match(reasonOfHeader(framed.subarray(10)), /no stream identifier/)
    assert.match(reasonOfHeader(framed.with(4, 0)), /no stream identifier/)
    assert.match(reasonOfHeader(framed.with(14, framed[14]! ^ 1)), /wrong checksum/)
    assert.match(reasonOfHeader(framed.with(10, 0x02)), /unknown kind 2/)
    assert.match(reasonOfHeader(framed.subarray(0, framed.length - 1)), /ends inside a chunk/)
    const bomb = Uint8Array.of(
      ...framed.subarray(0, 10),
      0,
      9,
      0,
      0,
      0,
      0,
      0,
      0,
      255,
      255,
      255,
      255,
      7,
    )
    assert.match(reasonOfHeader(bomb), /more than 64 KiB/)
  })

  it("never throws anything else, whatever was tampered with", () => {
    const change = fc.tuple(fc.nat(), fc.nat(255))
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 3 }), fc.nat(), (changes, cut) => {
        const bytes = file.slice(0, cut % 3 === 0 ? cut % file.length : file.length)
        for (const [at, byte] of changes) bytes[at % bytes.length] = byte
        const error = failure(() => makeServedChain(readEra1(bytes, "a.era1")))
        assert.isTrue(error === undefined || error instanceof ChainFileInvalid, String(error))
      }),
      { numRuns: 500 },
    )
  })
})
