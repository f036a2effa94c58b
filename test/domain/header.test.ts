import { FastCheck as fc } from "effect"
import { assert, describe, it } from "vitest"
import {
  EMPTY_OMMERS_HASH,
  EMPTY_TRIE_ROOT,
  MOST_HEADER_BYTES,
  readHeader,
} from "../../src/domain/header.ts"
import { keccak256 } from "../../src/domain/keccak.ts"
import { encodeBytes, encodeList, encodeUint, RlpError } from "../../src/domain/rlp.ts"

const word = (byte: number) => encodeBytes(new Uint8Array(32).fill(byte))

/** The fields of a header of before London; the caller replaces or appends some. */
const legacyFields = (): Array<Uint8Array> => [
  word(1),
  word(2),
  encodeBytes(new Uint8Array(20).fill(3)),
  word(4),
  word(5),
  word(6),
  encodeBytes(new Uint8Array(256).fill(7)),
  encodeUint(2n ** 60n),
  encodeUint(1_234_567),
  encodeUint(30_000_000),
  encodeUint(29_999_999),
  encodeUint(1_700_000_000),
  encodeBytes(new Uint8Array(40).fill(8)),
  word(9),
  encodeBytes(new Uint8Array(8)),
]

/** Enough to tell the fields apart. */
const lengthAndFirst = (value: Uint8Array) => [value.length, value[0]]

const failure = (run: () => unknown): unknown => {
  try {
    run()
  } catch (error) {
    return error
  }
  return undefined
}

const withExtra = (bytes: number): Uint8Array =>
  encodeList(legacyFields().with(12, encodeBytes(new Uint8Array(bytes))))

describe("readHeader", () => {
  it("takes the seals of a hundred signers, and nothing that is no header for its length", () => {
    assert.strictEqual(readHeader(withExtra(32 + 100 * 20 + 65)).number, 1_234_567)
    assert.instanceOf(
      failure(() => readHeader(withExtra(MOST_HEADER_BYTES))),
      RlpError,
    )
  })

  it("reads the fields of a header with 15 fields", () => {
    const header = readHeader(encodeList(legacyFields()))
    assert.deepEqual(
      {
        number: header.number,
        gasLimit: header.gasLimit,
        gasUsed: header.gasUsed,
        timestamp: header.timestamp,
      },
      {
        number: 1_234_567,
        gasLimit: 30_000_000,
        gasUsed: 29_999_999,
        timestamp: 1_700_000_000,
      },
    )
    assert.deepEqual(lengthAndFirst(header.parentHash), [32, 1])
    assert.deepEqual(lengthAndFirst(header.ommersHash), [32, 2])
    assert.deepEqual(lengthAndFirst(header.stateRoot), [32, 4])
    assert.deepEqual(lengthAndFirst(header.transactionsRoot), [32, 5])
    assert.deepEqual(lengthAndFirst(header.receiptsRoot), [32, 6])
    assert.deepEqual(lengthAndFirst(header.logsBloom), [256, 7])
    assert.isFalse("withdrawalsRoot" in header)
  })

  it("reads the withdrawals root behind the base fee and tolerates fields of later forks", () => {
    const london = [...legacyFields(), encodeUint(7)]
    assert.isUndefined(readHeader(encodeList(london)).withdrawalsRoot)
    const later = [...london, word(10), encodeUint(1), encodeUint(2), word(11), encodeList([])]
    const { withdrawalsRoot } = readHeader(encodeList(later))
    assert.deepEqual(withdrawalsRoot, new Uint8Array(32).fill(10))
  })

  it("gives views into the bytes that it read", () => {
    const bytes = encodeList(legacyFields())
    assert.strictEqual(readHeader(bytes).receiptsRoot.buffer, bytes.buffer)
  })

  it("refuses fewer than 15 fields, wrong widths, wrong kinds and bytes behind the header", () => {
    const broken: Array<Uint8Array> = [encodeList(legacyFields().slice(0, 14))]
    for (const at of [0, 1, 2, 3, 4, 5, 6, 13, 14]) {
      broken.push(encodeList(legacyFields().with(at, encodeBytes(new Uint8Array(21)))))
      broken.push(encodeList(legacyFields().with(at, encodeList([]))))
    }
    for (const at of [8, 9, 10, 11]) {
      broken.push(encodeList(legacyFields().with(at, encodeUint(2n ** 53n))))
      broken.push(encodeList(legacyFields().with(at, Uint8Array.of(0))))
    }
    broken.push(encodeList([...legacyFields(), encodeUint(7), encodeUint(7)]))
    broken.push(Uint8Array.of(...encodeList(legacyFields()), 0x80))
    for (const bytes of broken)
      assert.instanceOf(
        failure(() => readHeader(bytes)),
        RlpError,
      )
  })

  it("throws nothing but RlpError on arbitrary bytes", () => {
    const base = encodeList(legacyFields())
    const anyBytes = fc.oneof(
      fc.uint8Array({ maxLength: 80 }),
      fc.tuple(fc.nat(base.length - 1), fc.nat(255)).map(([at, byte]) => base.with(at, byte)),
    )
    fc.assert(
      fc.property(anyBytes, (bytes) => {
        const error = failure(() => readHeader(bytes))
        assert.isTrue(error === undefined || error instanceof RlpError, String(error))
      }),
      { numRuns: 1000 },
    )
  })
})

describe("the roots of nothing", () => {
  it("are the hashes of the empty string and of the empty list", () => {
    assert.deepEqual(EMPTY_TRIE_ROOT, keccak256(Uint8Array.of(0x80)))
    assert.deepEqual(EMPTY_OMMERS_HASH, keccak256(Uint8Array.of(0xc0)))
  })
})
