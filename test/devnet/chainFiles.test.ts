import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import path from "node:path"
import { gzipSync } from "node:zlib"
import { FastCheck as fc } from "effect"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { readChainFiles } from "../../src/devnet/chainFiles.ts"
import { generateChain } from "../../src/devnet/generatedChain.ts"
import { readRlpChain } from "../../src/devnet/rlpChain.ts"
import { ChainFileInvalid, makeServedChain } from "../../src/devnet/servedChain.ts"
import { concatBytes, encodeList } from "../../src/domain/rlp.ts"
import { fixture, fixturesDir } from "../support/fixtures.ts"

const chain = generateChain({ blocks: 20, shape: "tiny", seed: 5 })

/** The blocks as a file of `[header, body, receipts]`. */
const rlpFile = (from: number, to: number): Uint8Array => {
  const items: Array<Uint8Array> = []
  for (let number = from; number <= to; number++) {
    items.push(
      encodeList([chain.headerAt(number)!, chain.bodyAt(number)!, chain.receipts68At(number)!]),
    )
  }
  return concatBytes(items)
}

let dir = ""
beforeAll(() => {
  dir = mkdtempSync(path.join(tmpdir(), "annals-chain-files-"))
})
afterAll(() => rmSync(dir, { recursive: true }))

const write = (name: string, bytes: Uint8Array): string => {
  const file = path.join(dir, name)
  writeFileSync(file, bytes)
  return file
}

const failureOf = (run: () => unknown): ChainFileInvalid => {
  try {
    run()
  } catch (error) {
    assert.instanceOf(error, ChainFileInvalid)
    return error
  }
  return assert.fail("nothing was thrown")
}

const reasonOf = (file: string): string => {
  const failure = failureOf(() => readChainFiles([file]))
  assert.strictEqual(failure.path, file)
  assert.notInclude(failure.message, "\n")
  return failure.reason
}

describe("readChainFiles", () => {
  it("tells RLP, plain or gzipped, by its content and joins the pieces", () => {
    const plain = write("plain.txt", rlpFile(1, 5))
    const packed = write("packed.era1", gzipSync(rlpFile(11, 20)))
    const read = readChainFiles([packed, plain], { genesisHeader: chain.headerAt(0)! })
    assert.deepEqual([read.firstBlock, read.lastBlock], [0, 20])
    assert.deepEqual(
      [5, 6, 10, 11].map((number) => read.has(number)),
      [true, false, false, true],
    )
    for (const number of read.numbers) {
      assert.deepEqual(read.headerAt(number), chain.headerAt(number))
      assert.deepEqual(read.bodyAt(number), chain.bodyAt(number))
      assert.deepEqual(read.receipts68At(number), chain.receipts68At(number))
    }
  })

  it("says in one line why a file cannot be read", () => {
    assert.strictEqual(reasonOf(path.join(dir, "missing")), "no such file")
    assert.strictEqual(reasonOf(dir), "a directory, not a file")
    assert.strictEqual(reasonOf(write("empty", new Uint8Array(0))), "an empty file")
    assert.match(reasonOf(write("text", Buffer.from("{}"))), /neither era1 nor RLP/)
    assert.match(reasonOf(write("gz", gzipSync(rlpFile(1, 3)).subarray(0, 200))), /^gzip: /)
    assert.match(
      reasonOf(write("foreign", Uint8Array.of(0xc1, 0xc0))),
      /no \[header, body, receipts\]/,
    )
  })

  it("refuses no files at all", () => {
    assert.strictEqual(failureOf(() => readChainFiles([])).reason, "a chain without a block")
  })

  it.skipIf(fixturesDir === undefined)(
    "refuses a file of whole blocks, which has no receipts",
    () => {
      const file = fixture("chains/ethtest/chain.rlp")
      assert.strictEqual(failureOf(() => readChainFiles([file])).offset, 0)
    },
  )

  it.skipIf(fixturesDir === undefined)("reads an era1 file whatever its name is", () => {
    const bytes = readFileSync(fixture("era1/sepolia-00001-f3ea493e.era1"))
    const read = readChainFiles([write("era", bytes)])
    assert.deepEqual([read.firstBlock, read.lastBlock], [8192, 16383])
  })
})

describe("readRlpChain", () => {
  it("takes the empty string for receipts that the source does not have", () => {
    const header = chain.headerAt(1)!
    const item = encodeList([header, chain.bodyAt(1)!, Uint8Array.of(0x80)])
    assert.isUndefined(readRlpChain(item, "a.rlp")[0]?.receipts)
  })

  it("says at which byte a block is broken", () => {
    const first = rlpFile(1, 1)
    const failure = failureOf(() =>
      readRlpChain(concatBytes([first, encodeList([chain.headerAt(2)!])]), "a.rlp"),
    )
    assert.strictEqual(failure.offset, first.length)
    assert.match(failure.reason, /block 1 of the file/)
  })

  it("never throws anything but ChainFileInvalid, whatever was tampered with", () => {
    const file = rlpFile(1, 6)
    fc.assert(
      fc.property(fc.nat(), fc.nat(255), fc.nat(), (at, byte, cut) => {
        const bytes = file.slice(0, cut % 3 === 0 ? cut % file.length : file.length)
        bytes[at % bytes.length] = byte
        try {
          makeServedChain(readRlpChain(bytes, "a.rlp"))
        } catch (error) {
          assert.instanceOf(error, ChainFileInvalid)
        }
      }),
      { numRuns: 1000 },
    )
  })
})
