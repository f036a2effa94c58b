/**
 * What a peer of the simulated world asks of the program, and whether it is answered, in time and
 * truly.
 *
 * In: a link that is open, the peer's chain, dice. Out: questions over the link; what was wrong with
 * the answers, in words. A question is open until its answer comes or the link ends.
 */
import type { ServedChain } from "../../src/devnet/servedChain.ts"
import { equalBytes, toHex } from "../../src/domain/hex.ts"
import {
  beginItems,
  beginReceipts,
  encodeGetBlockBodies,
  encodeGetBlockHeaders,
  encodeGetReceipts,
  ETH,
  type HeadersQuery,
  readAnswer,
} from "../../src/wire/ethMessages.ts"
import { type EthVersion, FIRST_CAPABILITY_CODE } from "../../src/wire/hello.ts"
import type { MessageLink } from "../../src/wire/MessageLink.ts"
import type { Dice } from "./dice.ts"
import type { Asking } from "./plan.ts"
import type { Cancel, VirtualTime } from "./VirtualTime.ts"

/** A question that has no answer yet. */
type Question = { readonly atMs: number } & (
  | { readonly kind: "headers"; readonly query: HeadersQuery }
  | { readonly kind: "bodies" | "receipts"; readonly hashes: ReadonlyArray<Uint8Array> }
)

/** What a peer needs to ask. */
export interface Asker {
  readonly asking: Asking
  readonly version: EthVersion
  readonly chain: ServedChain
  /** Whether all that the program stores is of this chain. */
  readonly judges: boolean
  readonly dice: Dice
  readonly time: VirtualTime
  readonly complain: (invariant: string, detail: string) => void
}

/** What asks for headers may say beside where they begin. */
const LIMITS = [1, 3, 64, 1_024]
const SKIPS = [0, 0, 0, 1, 5]

/** The questions of one session. */
export class Curiosity {
  readonly #asker: Asker
  readonly #link: MessageLink
  readonly #open = new Map<bigint, Question>()
  readonly #timers: Array<Cancel> = []
  #nextId = 1n
  #roundsLeft: number

  constructor(asker: Asker, link: MessageLink) {
    this.#asker = asker
    this.#link = link
    this.#roundsLeft = asker.asking.rounds
    this.#round()
  }

  /** The link is over: nobody waits any more. */
  end(): void {
    this.#open.clear()
    for (const cancel of this.#timers) cancel()
  }

  /** A message of the program; `code` is relative to eth. Whether it was an answer. */
  answered(code: number, plain: Uint8Array): boolean {
    const { version } = this.#asker
    if (code === ETH.receipts) this.#judge(readAnswer(beginReceipts(version, plain), 1_024))
    else if (code === ETH.blockHeaders || code === ETH.blockBodies) {
      this.#judge(readAnswer(beginItems(plain), 1_024))
    } else return false
    return true
  }

  #round(): void {
    const { asking, time } = this.#asker
    if (this.#roundsLeft === 0 || this.#link.ended !== undefined) return
    this.#roundsLeft -= 1
    for (let at = 0; at < asking.atOnce; at++) this.#ask()
    const { withinMs } = asking
    if (withinMs !== undefined) {
      this.#timers.push(
        time.after(withinMs, () => this.#lookForOpen(time.nowMs - withinMs, withinMs)),
      )
    }
    this.#timers.push(time.after(asking.everyMs, () => this.#round()))
  }

  #ask(): void {
    const { dice, version, time } = this.#asker
    const id = this.#nextId++
    const atMs = time.nowMs
    const kind = dice.pick(["headers", "headers", "bodies", "receipts"] as const)
    if (kind === "headers") {
      const query = this.#query()
      this.#open.set(id, { atMs, kind, query })
      return this.#send(ETH.getBlockHeaders, encodeGetBlockHeaders(id, query))
    }
    const hashes = Array.from({ length: dice.between(1, 6) }, () => this.#hash())
    this.#open.set(id, { atMs, kind, hashes })
    if (kind === "bodies") this.#send(ETH.getBlockBodies, encodeGetBlockBodies(id, hashes))
    else this.#send(ETH.getReceipts, encodeGetReceipts(version, id, hashes, 0))
  }

  #query(): HeadersQuery {
    const { dice, chain } = this.#asker
    const start = dice.chance(0.7) ? dice.between(0, chain.lastBlock + 2) : this.#hash()
    return { start, limit: dice.pick(LIMITS), skip: dice.pick(SKIPS), reverse: dice.chance(0.3) }
  }

  /** Of a block of the chain, or of none. */
  #hash(): Uint8Array {
    const { dice, chain } = this.#asker
    return dice.chance(0.1) ? dice.bytes(32) : chain.hashAt(dice.between(0, chain.lastBlock))!
  }

  #send(code: number, payload: Uint8Array): void {
    this.#link.send(FIRST_CAPABILITY_CODE + code, payload)
  }

  #lookForOpen(sinceMs: number, withinMs: number): void {
    const late = [...this.#open.values()].filter(({ atMs }) => atMs <= sinceMs)
    if (late.length === 0) return
    this.#asker.complain(
      "who asks is answered",
      `${late.length} questions are open after ${withinMs} ms`,
    )
    this.#open.clear()
  }

  #judge({
    requestId,
    items,
    lastBlockIncomplete,
  }: {
    readonly requestId: bigint
    readonly items: ReadonlyArray<Uint8Array>
    readonly lastBlockIncomplete: boolean
  }): void {
    const { complain, judges } = this.#asker
    const question = this.#open.get(requestId)
    this.#open.delete(requestId)
    if (question === undefined) return complain("answers are true", `${requestId} was not asked`)
    // Nothing of these chains is too much for one answer.
    if (lastBlockIncomplete) return complain("answers are true", "a block that is cut")
    if (!judges) return
    const right =
      question.kind === "headers"
        ? this.#areHeaders(question.query, items)
        : this.#areParts(question.kind, question.hashes, items)
    if (right) return
    const what = question.kind === "headers" ? describe(question.query) : question.hashes.length
    complain("answers are true", `${items.length} wrong ${question.kind} for ${what}`)
  }

  /** From where it was asked on, without a gap. */
  #areHeaders(
    { start, limit, skip, reverse }: HeadersQuery,
    items: ReadonlyArray<Uint8Array>,
  ): boolean {
    const { chain } = this.#asker
    const first = typeof start === "number" ? start : chain.numberOf(toHex(start))
    if (first === undefined) return items.length === 0
    const step = (skip + 1) * (reverse ? -1 : 1)
    return (
      items.length <= limit &&
      items.every((item, at) => same(item, chain.headerAt(first + at * step)))
    )
  }

  /** Those of some of the blocks, in their order. */
  #areParts(
    kind: "bodies" | "receipts",
    hashes: ReadonlyArray<Uint8Array>,
    items: ReadonlyArray<Uint8Array>,
  ): boolean {
    let at = 0
    for (const hash of hashes) {
      if (at < items.length && same(items[at]!, this.#partOf(kind, hash))) at += 1
    }
    return at === items.length
  }

  #partOf(kind: "bodies" | "receipts", hash: Uint8Array): Uint8Array | undefined {
    const { chain, version } = this.#asker
    const number = chain.numberOf(toHex(hash))
    if (number === undefined) return undefined
    if (kind === "bodies") return chain.bodyAt(number)
    return version === 68 ? chain.receipts68At(number) : chain.receipts69At(number)
  }
}

const same = (item: Uint8Array, right: Uint8Array | undefined): boolean =>
  right !== undefined && equalBytes(item, right)

const describe = ({ start, limit, skip, reverse }: HeadersQuery): string =>
  `${typeof start === "number" ? start : toHex(start).slice(0, 8)}+${limit} skip ${skip}${reverse ? " back" : ""}`
