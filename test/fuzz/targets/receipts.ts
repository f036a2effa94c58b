/** Lists of receipts in both forms: the digest of the checks against the plain functions. */
import { countReceipts, lastCumulativeGas, ReceiptCursor } from "../../../src/domain/receiptList.ts"
import {
  carriedBloom,
  receipts68To69,
  receipts69To68,
  receiptsBloom,
  receiptsRoot,
} from "../../../src/domain/receipts.ts"
import { FlatReceiptCursor, LogCursor } from "../../../src/domain/logs.ts"
import { digestReceipts } from "../../../src/domain/receiptsDigest.ts"
import {
  encodeBytes,
  encodeList,
  encodeUint,
  RlpError,
  RlpReader,
} from "../../../src/domain/rlp.ts"
import { agree, agreeBytes, attempt, type FuzzTarget } from "../target.ts"
import type { Material } from "../material.ts"

const ALL = { root: true, blooms: true }

export const receipts68: FuzzTarget = {
  name: "receipts-68",
  testInputs: 1_500,
  kind: "rlp",
  seeds: ({ blocks }) => blocks.map(({ receipts }) => receipts).filter(isSome),
  run: (input) => {
    attempt(() => countReceipts(input), RlpError)
    attempt(() => lastCumulativeGas(input, 68), RlpError)
    attempt(() => carriedBloom(input), RlpError)
    const flat = attempt(() => receipts68To69(input), RlpError)
    const digest = attempt(() => digestReceipts(input, 68, ALL), RlpError)
    digestPartly(input, 68, digest !== undefined)
    if (digest === undefined) return
    agree(flat !== undefined, "what passes its checks can be flattened")
    comparePlain(input, 68, digest)
    const flatDigest = digestReceipts(flat, 69, ALL)
    agreeBytes(flatDigest.types, digest.types, "types stay what they were")
    agree(flatDigest.logCount === digest.logCount, "logs stay what they were")
    if (digest.wrongBloom < 0) {
      agreeBytes(flatDigest.root!, digest.root!, "the root stays what it was")
      agreeBytes(receipts69To68(flat), input, "there and back again")
      agreeBytes(carriedBloom(input), digest.bloom!, "right blooms make the block's")
    }
  },
}

export const receipts69: FuzzTarget = {
  name: "receipts-69",
  testInputs: 1_500,
  kind: "rlp",
  seeds: (material) => [...flatLists(material).filter(isSome), manyReceipts()],
  run: (input) => {
    attempt(() => lastCumulativeGas(input, 69), RlpError)
    const logCount = attempt(() => walkFlat(input), RlpError)
    const digest = attempt(() => digestReceipts(input, 69, ALL), RlpError)
    digestPartly(input, 69, digest !== undefined)
    if (digest === undefined) return
    agree(logCount === digest.logCount, "what passes its checks can be read log by log")
    agree(digest.wrongBloom === -1, "there is no bloom to be wrong")
    comparePlain(input, 69, digest)
    const long = receipts69To68(input)
    agreeBytes(receipts68To69(long), input, "there and back again")
    const longDigest = digestReceipts(long, 68, ALL)
    agreeBytes(longDigest.root!, digest.root!, "the root stays what it was")
    agree(longDigest.wrongBloom === -1, "blooms that we computed are right")
  },
}

/** The lists of the blocks in form 69. */
const flatLists = ({ blocks }: Material): ReadonlyArray<Uint8Array> =>
  blocks.map(({ receipts }) => receipts68To69(receipts))

const isSome = (list: Uint8Array): boolean => list.length > 1 && list.length < 16_384

/** So many that keys of the trie have two and three bytes. */
const manyReceipts = (): Uint8Array =>
  encodeList(
    Array.from({ length: 300 }, (_, index) =>
      encodeList([
        encodeUint(index % 5),
        encodeUint(1),
        encodeUint(21_000 * (index + 1)),
        index % 50 === 0 ? encodeList([log]) : encodeList([]),
      ]),
    ),
  )

const log = encodeList([
  encodeBytes(new Uint8Array(20).fill(7)),
  encodeList([encodeBytes(new Uint8Array(32).fill(9))]),
  encodeBytes(Uint8Array.of(1)),
])

/** Whatever is left out, form is always checked. */
const digestPartly = (input: Uint8Array, form: 68 | 69, inForm: boolean): void => {
  for (const wants of [
    { root: false, blooms: false },
    { root: true, blooms: false },
    { root: false, blooms: true },
  ]) {
    const digest = attempt(() => digestReceipts(input, form, wants), RlpError)
    agree((digest !== undefined) === inForm, "form does not depend on what is wanted")
  }
}

type Digest = ReturnType<typeof digestReceipts>

const comparePlain = (input: Uint8Array, form: 68 | 69, digest: Digest): void => {
  agree(countReceipts(input) === digest.types.length, "as many receipts")
  agree(lastCumulativeGas(input, form) === digest.cumulativeGas, "the gas of the last one")
  agreeBytes(receiptsRoot(input, form), digest.root!, "the root")
  agreeBytes(receiptsBloom(input, form), digest.bloom!, "the bloom of all logs")
  const cursor = new ReceiptCursor(RlpReader.list(input), form)
  for (let index = 0; cursor.next(); index++) agree(cursor.type === digest.types[index], "types")
}

const walkFlat = (input: Uint8Array): number => {
  const receipts = new FlatReceiptCursor(input)
  let count = 0
  while (receipts.next()) {
    const logs = new LogCursor(input, receipts.logsStart, receipts.logsEnd)
    let own = 0
    while (logs.next()) own += 1
    agree(own === receipts.countLogs(), "as many logs are counted as are read")
    count += own
  }
  return count
}
