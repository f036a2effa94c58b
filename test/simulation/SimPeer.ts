/**
 * A peer of the simulated world: the other end of a session, over a transport in memory, on the
 * world's time. It speaks eth through the real link (frames, compression, pings) and misbehaves as
 * its plan says.
 *
 * In: a plan, its chain, the world's time and trace. Out: {@link SimPeer.dialled}, to be called with
 * the other end of the transport, and {@link SimPeer.talk}, with the link once it is open. A peer
 * outlives runs of the program: what is left of earlier sessions is forgotten with their transports.
 */
import { type AnswerItems } from "../../src/devnet/answers.ts"
import { announce, answerCode, react } from "../../src/devnet/faults.ts"
import type { ServedChain } from "../../src/devnet/servedChain.ts"
import { localStatus } from "../../src/chain/status.ts"
import { fromHex, toHex } from "../../src/domain/hex.ts"
import { publicKey } from "../../src/domain/secp256k1.ts"
import {
  answerFrom,
  cutReceipts,
  encodeAnswer,
  type HistorySource,
} from "../../src/serving/answers.ts"
import {
  decodeGetBlockBodies,
  decodeGetBlockHeaders,
  decodeGetReceipts,
  encodeBlockRangeUpdate,
  encodeItems,
  ETH,
  type EthRequest,
  type Status,
} from "../../src/wire/ethMessages.ts"
import { FIRST_CAPABILITY_CODE } from "../../src/wire/hello.ts"
import type { MessageLink } from "../../src/wire/MessageLink.ts"
import type { Enode } from "../../src/chain/enode.ts"
import { forkedChain, otherChain, spec, trueChain } from "./chains.ts"
import { Curiosity } from "./Curiosity.ts"
import { Dice } from "./dice.ts"
import { type Asking, type PeerPlan, type Plan, sendsForgedHeaders } from "./plan.ts"
import type { Trace } from "./trace.ts"
import type { VirtualTime } from "./VirtualTime.ts"

/** The world as a peer sees it. */
export interface Surroundings {
  readonly time: VirtualTime
  readonly trace: Trace
}

const MAX_MESSAGE_BYTES = 1024 * 1024

/** See the module. */
export class SimPeer {
  readonly plan: PeerPlan
  readonly enode: Enode
  readonly privateKey: Uint8Array
  readonly publicKey: Uint8Array
  /** Sessions that are open now, as this side sees it. */
  sessions = 0
  /** What was wrong with the answers that it had: which invariant, and how. */
  readonly complaints: Array<readonly [invariant: string, detail: string]> = []
  /** The largest answer that it gave, in bytes. */
  mostAnswerBytes = 0
  readonly #world: Surroundings
  readonly #chain: ServedChain
  readonly #source: HistorySource
  readonly #dice: Dice
  readonly #curious: Dice
  readonly #judges: boolean
  readonly #hasLargeBlocks: boolean
  #requests = 0

  constructor(plan: PeerPlan, { seed, chain, peers, hasLargeBlocks }: Plan, world: Surroundings) {
    const keys = keysOf(plan.index)
    this.plan = plan
    this.privateKey = keys.privateKey
    this.publicKey = keys.publicKey
    this.enode = {
      nodeId: keys.nodeId,
      host: "127.0.0.1",
      tcpPort: 30_000 + plan.index,
      udpPort: 0,
    }
    this.#world = world
    this.#chain = chainOf(plan, chain)
    this.#source = sourceOf(plan, this.#chain)
    this.#dice = new Dice(seed).split(`peer ${plan.index}`)
    this.#curious = new Dice(seed).split(`questions ${plan.index}`)
    this.#judges = !peers.some(sendsForgedHeaders)
    this.#hasLargeBlocks = hasLargeBlocks
  }

  /** Whether a dial gets through this time. */
  answersDial(): boolean {
    return this.plan.openingFault !== "refuses" && !this.#dice.chance(this.plan.refuseChance)
  }

  /** Its Status. */
  status(): Status {
    const { ethVersion: version, floor, head, fault, openingFault } = this.plan
    const hash = this.#chain.hashAt(head)!
    const ours = { number: head, hash, time: 0, totalDifficulty: 0n, earliest: floor }
    // Its fork id is that of our chain's head: all forks are active from genesis on.
    const status = announce(
      fault,
      localStatus(spec, { ...ours, time: this.#chain.head.time }, version),
    )
    return openingFault === "wrong-network" ? { ...status, networkId: 99n } : status
  }

  /** Speaks over an open link until it ends; `cutOff` breaks the connection without a word. */
  talk(link: MessageLink, cutOff: () => void): void {
    const { time, trace } = this.#world
    const { sessionMs, asks, name } = this.plan
    this.sessions += 1
    link.admitFrames(() => true)
    const curiosity = asks && this.#curiosity(link, asks)
    link.use({
      message: (code, payload) =>
        this.#onMessage(link, code - FIRST_CAPABILITY_CODE, payload, curiosity),
      end: ({ by, reason }) => {
        this.sessions -= 1
        curiosity?.end()
        trace.note(name, `session over, ${by === "us" ? "left" : "let go"}: ${reason}`)
      },
    })
    if (sessionMs !== undefined) {
      const politely = this.#dice.chance(0.5)
      time.after(this.#dice.between(...sessionMs), () => {
        if (politely) link.close("too_many_peers", "rotation")
        else cutOff()
      })
    }
  }

  #curiosity(link: MessageLink, asking: Asking): Curiosity {
    const { name, ethVersion: version } = this.plan
    const complain = (invariant: string, detail: string): void => {
      this.complaints.push([invariant, `${name}: ${detail}`])
    }
    const { time } = this.#world
    return new Curiosity(
      {
        // Where frames are held back for want of room, questions behind them are.
        asking: this.#hasLargeBlocks ? { ...asking, withinMs: undefined } : asking,
        version,
        chain: this.#chain,
        judges: this.#judges,
        dice: this.#curious,
        time,
        complain,
      },
      link,
    )
  }

  #send(link: MessageLink, code: number, payload: Uint8Array): void {
    link.send(FIRST_CAPABILITY_CODE + code, payload)
  }

  #onMessage(
    link: MessageLink,
    code: number,
    payload: Uint8Array,
    curiosity: Curiosity | undefined,
  ): void {
    const plain = link.open(payload, MAX_MESSAGE_BYTES)
    if (curiosity?.answered(code, plain) === true) return
    const request = this.#read(code, plain)
    if (request === undefined) return
    this.#requests += 1
    this.#world.trace.note(this.plan.name, `asked ${describe(request)}`)
    const { ethVersion: version, thinkMs, faultChance, wireFault, fault } = this.plan
    const said = answerFrom(this.#source, version, request)
    const faulty = this.#dice.chance(faultChance)
    const asked = { chain: this.#chain, version, request }
    const reaction = react(faulty ? fault : undefined, asked, this.#requests, said)
    const delayMs = this.#dice.between(...thinkMs)
    const { time } = this.#world
    switch (reaction._tag) {
      case "Silence":
        return
      case "Leave":
        time.after(delayMs, () => link.close("too_many_peers", "leaving"))
        return
      case "Garbage":
        time.after(delayMs, () => this.#send(link, reaction.code, this.#dice.bytes(40)))
        return
      case "Answer": {
        const { extraDelayMs } = reaction
        const answer = this.#cut(request, reaction.answer)
        const misbehaves = faulty && wireFault !== undefined
        time.after(delayMs + extraDelayMs, () => {
          if (misbehaves) this.#misbehave(link, request, answer)
          else this.#answer(link, request, answer)
        })
      }
    }
  }

  /** The answer as it goes out: receipts that are too many are cut, over eth/70. */
  #cut(request: EthRequest, answer: AnswerItems): AnswerItems {
    const { ethVersion, cutBytes } = this.plan
    if (request._tag !== "GetReceipts") return answer
    const cut = cutReceipts(ethVersion, answer.items, cutBytes)
    return cut.lastBlockIncomplete ? cut : answer
  }

  #read(code: number, plain: Uint8Array): EthRequest | undefined {
    switch (code) {
      case ETH.getBlockHeaders:
        return decodeGetBlockHeaders(plain)
      case ETH.getBlockBodies:
        return decodeGetBlockBodies(plain)
      case ETH.getReceipts:
        return decodeGetReceipts(this.plan.ethVersion, plain)
      default:
        return undefined
    }
  }

  #answer(
    link: MessageLink,
    request: EthRequest,
    answer: AnswerItems,
    code = answerCode(request),
  ): void {
    const payload = encodeAnswer(this.plan.ethVersion, request, answer)
    this.mostAnswerBytes = Math.max(this.mostAnswerBytes, payload.length)
    this.#send(link, code, payload)
  }

  #misbehave(link: MessageLink, request: EthRequest, answer: AnswerItems): void {
    const { requestId } = request
    switch (this.plan.wireFault) {
      case "wrong-id":
        return this.#answer(link, { ...request, requestId: requestId + 1_000n }, answer)
      case "twice":
        this.#answer(link, request, answer)
        return this.#answer(link, request, answer)
      case "unasked":
        this.#send(link, ETH.blockBodies, encodeItems(7_777n, answer.items))
        return this.#answer(link, request, answer)
      case "more": {
        const [first] = answer.items
        const items = first === undefined ? [] : [...answer.items, ...manyOf(first)]
        return this.#answer(link, request, { ...answer, items })
      }
      case "wrong-kind": {
        const code = request._tag === "GetBlockHeaders" ? ETH.blockBodies : ETH.blockHeaders
        return this.#send(link, code, encodeItems(requestId, answer.items))
      }
      case "bad-frame":
        link.transport.write(this.#dice.bytes(64))
        return
      case "late":
        if (request._tag === "GetBlockHeaders") return this.#answer(link, request, answer)
        this.#world.time.after(this.#dice.between(...this.plan.lateMs), () =>
          this.#answer(link, request, answer),
        )
        return
      case "bad-range": {
        if (this.plan.ethVersion !== 68) {
          const latestBlockHash = this.#chain.head.hash
          const range = { earliestBlock: 9, latestBlock: 3, latestBlockHash }
          this.#send(link, ETH.blockRangeUpdate, encodeBlockRangeUpdate(range))
        }
        return this.#answer(link, request, answer)
      }
      case undefined:
    }
  }
}

/** More than anybody asks for. */
const manyOf = (item: Uint8Array): ReadonlyArray<Uint8Array> =>
  Array.from({ length: 200 }, () => item)

const describe = (request: EthRequest): string => {
  if (request._tag !== "GetBlockHeaders") return `${request._tag} ${request.hashes.length}`
  const { start, limit } = request
  return `headers ${typeof start === "number" ? start : toHex(start).slice(0, 8)}+${limit}`
}

const chainOf = ({ serves }: PeerPlan, chain: number): ServedChain => {
  if (serves === "true") return trueChain(chain)
  return serves === "other" ? otherChain(chain) : forkedChain(chain, serves.forkedFrom)
}

/** What of its chain a peer has. */
const sourceOf = (plan: PeerPlan, chain: ServedChain): HistorySource => {
  const { head, floor, bodies, receipts } = plan
  const has = (number: number, kind: boolean): boolean => kind && number >= floor && number <= head
  return {
    numberOf: (hash) => {
      const number = chain.numberOf(toHex(hash))
      return number === undefined || number > head ? undefined : number
    },
    headerAt: (number) => (number > head ? undefined : chain.headerAt(number)),
    bodyAt: (number) => (has(number, bodies) ? chain.bodyAt(number) : undefined),
    receiptsAt: (number, form) =>
      !has(number, receipts)
        ? undefined
        : form === 68
          ? chain.receipts68At(number)
          : chain.receipts69At(number),
  }
}

interface Keys {
  readonly privateKey: Uint8Array
  readonly publicKey: Uint8Array
  readonly nodeId: string
}

const keys = new Map<number, Keys>()

/** The key of the peer with this index, the same in every world. */
const keysOf = (index: number): Keys => {
  const known = keys.get(index)
  if (known !== undefined) return known
  const privateKey = fromHex((index + 1).toString(16).padStart(64, "7"))
  const own = publicKey(privateKey)
  const made = { privateKey, publicKey: own, nodeId: toHex(own) }
  keys.set(index, made)
  return made
}
