/**
 * What a node of discv4 says and believes (devp2p, `discv4.md`; EIP-868), without socket and clock:
 * datagrams and times go in, datagrams go out through `send`, answers reach whoever asked.
 *
 * Why not the library's `DPT` (@ethereumjs/devp2p 10.0.0, tried over loopback): it answers an
 * expired FindNode of 171 bytes, from an address that has proved nothing, with 1,373 bytes, more
 * than a packet may have, so that geth drops it; it pings whomever an unasked Neighbors names; it
 * forgets the node ids in Neighbors, takes a Pong from any key, and knows no ENRRequest; its
 * constructor points the whole process at another DNS server. Reading and answering happen in one
 * closed function, so mending it means a second reader in front of it, which leaves nothing to it.
 *
 * Invariants:
 * - P1. Bytes from outside never throw.
 * - P2. To an endpoint that has not proved itself (a Pong to our Ping, not older than 12 hours)
 *   goes nothing unasked but a Pong for its Ping, and a Ping of our own, which `discv4.md` demands
 *   so that it can; of these no more than {@link PING_BACK_RATE} allows.
 * - P3. Only answers that were asked for, from the endpoint and by the key that were asked, count.
 * - P4. A signature is looked at last: what is expired, not asked for or above the rates costs a
 *   hash only.
 * - P5. Everything remembered is bounded: by capacity or by the requests that are open.
 */
import { fromHex, toHex } from "../../domain/hex.ts"
import { mayBePort, mayTell, rateKey } from "./addresses.ts"
import { AgeingMap } from "./ageingMap.ts"
import { BUCKET_NODES, type Contact, NodeTable, placeOf } from "./nodeTable.ts"
import {
  MAX_NEIGHBORS_IN_PACKET,
  type Message,
  type Packet,
  type WireEndpoint,
  type WireNode,
  expirationOf,
  ipv4Text,
  packetSigner,
  readPacket,
  wireEndpoint,
  writePacket,
} from "./packet.ts"
import { type Rate, RateLimits } from "./rates.ts"
import { type Cancel, Waiters } from "./waiters.ts"

/** Where a datagram came from or goes to. */
export interface UdpEndpoint {
  /** IPv4 as text. */
  readonly ip: string
  readonly port: number
}

/** Who a node is. */
export interface ProtocolOptions {
  /** 32 bytes. */
  readonly privateKey: Uint8Array
  /** Our public key, 128 hex digits. */
  readonly nodeId: string
  /** What we say of our address; nobody believes it. */
  readonly endpoint: WireEndpoint
  /** Our node record's RLP, and its number. */
  readonly record: Uint8Array
  readonly recordSeq: bigint
  readonly send: (to: UdpEndpoint, bytes: Uint8Array) => void
}

/** Packets taken from one address: far above what a lookup, a bond and a record need. */
const ADDRESS_RATE: Rate = { perSecond: 30, burst: 60 }
/** Pings of strangers taken from all addresses together: with noble a signature costs 1 ms. */
const STRANGER_RATE: Rate = { perSecond: 100, burst: 300 }
/** Pings of ours to one address that only strangers' Pings have named. */
const PING_BACK_RATE: Rate = { perSecond: 0.2, burst: 5 }

/** Addresses whose rates are remembered. */
const RATED_ADDRESSES = 4_096
/** Endpoints whose proof is remembered: the most that a crawl meets within a few hours. */
const PROVEN_ENDPOINTS = 8_192
const OPEN_PINGS = 2_048

/** How long a packet of ours is good: longer clocks differ, shorter round trips do not take. */
const EXPIRY_S = 20
/** `discv4.md`, "Endpoint Proof". */
const PROOF_MS = 12 * 3600 * 1000
/** The other side counts from our Pong, which left a little earlier than its proof began. */
const OUR_PROOF_MS = PROOF_MS - 600_000
/** How late a Pong may come and still prove an endpoint. */
const PING_MS = 10_000
/** So long no second Ping goes to an endpoint for a stranger's sake. */
const PING_BACK_PAUSE_MS = 1_000
/** How long a node that did not ping back is taken to know us already. */
const ASSUMED_PROOF_MS = 600_000

const keyOf = ({ ip, port }: UdpEndpoint): string => `${ip}:${port}`
const endpointOf = ({ ip, udpPort }: Contact): UdpEndpoint => ({ ip, port: udpPort })
const recordKey = (endpoint: UdpEndpoint, requestHash: Uint8Array): string =>
  `${keyOf(endpoint)}/${toHex(requestHash)}`
const expiryFrom = (nowMs: number): number => Math.floor(nowMs / 1000) + EXPIRY_S

const wireNode = ({ nodeId, ip, udpPort, tcpPort }: Contact): WireNode =>
  Object.assign(wireEndpoint(ip, udpPort, tcpPort), { id: fromHex(nodeId) })

/** See the module. */
export class Discv4Protocol {
  readonly table: NodeTable
  readonly #options: ProtocolOptions
  /** Endpoint to the node id that proved it to us. */
  readonly #proven = new AgeingMap<string>(PROVEN_ENDPOINTS)
  /** Endpoint to the node id to which we have proved ours. */
  readonly #provenTo = new AgeingMap<string>(PROVEN_ENDPOINTS)
  readonly #addressRates = new RateLimits(ADDRESS_RATE, RATED_ADDRESSES)
  readonly #strangerRate = new RateLimits(STRANGER_RATE, 1)
  readonly #pingBackRates = new RateLimits(PING_BACK_RATE, RATED_ADDRESSES)
  /**
   * Hash of a ping's packet to whom it was for. Two pings to one node within a second are the same
   * packet, so whoever waits for the pong is kept apart.
   */
  readonly #pings = new AgeingMap<Contact>(OPEN_PINGS)
  /** Endpoints that were pinged just now, so that two pings that cross make no third. */
  readonly #pinging = new AgeingMap<true>(OPEN_PINGS)
  readonly #neighborsAwaited = new Waiters<ReadonlyArray<Contact>>()
  readonly #pingsAwaited = new Waiters<void>()
  readonly #pongsAwaited = new Waiters<void>()
  /** By endpoint and packet: the requests of one second are the same packet, whomever they are for. */
  readonly #recordsAwaited = new Waiters<Uint8Array>()

  constructor(options: ProtocolOptions) {
    this.#options = options
    this.table = new NodeTable(options.nodeId)
  }

  /** Takes a datagram from anybody. */
  receive(from: UdpEndpoint, datagram: Uint8Array, nowMs: number): void {
    if (!this.#addressRates.take(rateKey(from.ip, from.port), nowMs)) return
    const packet = readPacket(datagram)
    if (packet === undefined) return
    const expiration = expirationOf(packet.message)
    if (expiration !== undefined && expiration * 1000 < nowMs) return
    if (!this.#isWanted(from, packet.message, nowMs)) return
    const signer = packetSigner(packet)
    if (signer === undefined) return
    const nodeId = toHex(signer)
    if (nodeId !== this.#options.nodeId) this.#handle(from, nodeId, packet, nowMs)
  }

  /** Whether `contact` has proved its endpoint to us, and we ours to it. */
  isBonded(contact: Contact, nowMs: number): boolean {
    const endpoint = keyOf(endpointOf(contact))
    return (
      this.#proven.get(endpoint, nowMs) === contact.nodeId &&
      this.#provenTo.get(endpoint, nowMs) === contact.nodeId
    )
  }

  /** It did not ping back: taken to know us from before, until it fails to answer. */
  assumeProvenTo(contact: Contact, nowMs: number): void {
    const endpoint = keyOf(endpointOf(contact))
    this.#provenTo.set(endpoint, contact.nodeId, nowMs + ASSUMED_PROOF_MS)
  }

  /** It did not answer: the next request starts with a ping again. */
  distrust(contact: Contact): void {
    this.#provenTo.delete(keyOf(endpointOf(contact)))
    this.table.failed(contact.nodeId)
  }

  /** Sends a Ping; `answered` is run by the Pong of that node. */
  ping(to: Contact, nowMs: number, answered: () => void): Cancel {
    this.#sendPing(to, nowMs)
    return this.#pongsAwaited.add(keyOf(endpointOf(to)), to.nodeId, answered)
  }

  #sendPing(to: Contact, nowMs: number): void {
    const hash = toHex(
      this.#send(endpointOf(to), {
        _tag: "Ping",
        from: this.#options.endpoint,
        to: wireEndpoint(to.ip, to.udpPort, to.tcpPort),
        expiration: expiryFrom(nowMs),
        enrSeq: this.#options.recordSeq,
      }),
    )
    this.#pings.set(hash, to, nowMs + PING_MS)
    this.#pinging.set(keyOf(endpointOf(to)), true, nowMs + PING_BACK_PAUSE_MS)
  }

  /** Runs `bonded` when that node, which has proved itself, has had a Pong of ours, or has already. */
  awaitBond(contact: Contact, nowMs: number, bonded: () => void): Cancel {
    if (!this.isBonded(contact, nowMs)) {
      return this.#pingsAwaited.add(keyOf(endpointOf(contact)), contact.nodeId, bonded)
    }
    bonded()
    return () => {}
  }

  /**
   * Sends a FindNode; `answered` is run for each Neighbors of that node, until it is cancelled. Of
   * two at one node both are given all answers, since Neighbors do not say what they answer.
   */
  findNode(
    to: Contact,
    target: Uint8Array,
    nowMs: number,
    answered: (contacts: ReadonlyArray<Contact>) => void,
  ): Cancel {
    const cancel = this.#neighborsAwaited.add(keyOf(endpointOf(to)), to.nodeId, answered)
    this.#send(endpointOf(to), { _tag: "FindNode", target, expiration: expiryFrom(nowMs) })
    return cancel
  }

  /** Sends an ENRRequest; `answered` is given the record's RLP, not yet verified. */
  requestRecord(to: Contact, nowMs: number, answered: (record: Uint8Array) => void): Cancel {
    const endpoint = endpointOf(to)
    const hash = this.#send(endpoint, { _tag: "EnrRequest", expiration: expiryFrom(nowMs) })
    return this.#recordsAwaited.add(recordKey(endpoint, hash), to.nodeId, answered)
  }

  /** Answers that are waited for. */
  get awaited(): number {
    return (
      this.#neighborsAwaited.size +
      this.#recordsAwaited.size +
      this.#pingsAwaited.size +
      this.#pongsAwaited.size
    )
  }

  /** Whether a packet is worth a look at its signature. */
  #isWanted(from: UdpEndpoint, message: Message, nowMs: number): boolean {
    const endpoint = keyOf(from)
    const proven = this.#proven.get(endpoint, nowMs) !== undefined
    switch (message._tag) {
      case "Ping":
        return (
          proven ||
          this.#pinging.get(endpoint, nowMs) === true ||
          this.#strangerRate.take("", nowMs)
        )
      case "Pong": {
        const to = this.#pings.get(toHex(message.pingHash), nowMs)
        return to !== undefined && keyOf(endpointOf(to)) === endpoint
      }
      case "FindNode":
      case "EnrRequest":
        return proven
      case "Neighbors":
        return this.#neighborsAwaited.has(endpoint)
      case "EnrResponse":
        return this.#recordsAwaited.has(recordKey(from, message.requestHash))
    }
  }

  #handle(from: UdpEndpoint, nodeId: string, { hash, message }: Packet, nowMs: number): void {
    switch (message._tag) {
      case "Ping": {
        const { tcpPort } = message.from
        const contact = { nodeId, ip: from.ip, udpPort: from.port, tcpPort }
        return this.#onPing(contact, hash, nowMs)
      }
      case "Pong":
        return this.#onPong(nodeId, toHex(message.pingHash), nowMs)
      case "FindNode":
        if (this.#proven.get(keyOf(from), nowMs) !== nodeId) return
        return this.#onFindNode(from, nodeId, message.target, nowMs)
      case "EnrRequest": {
        if (this.#proven.get(keyOf(from), nowMs) !== nodeId) return
        const { record } = this.#options
        this.#send(from, { _tag: "EnrResponse", requestHash: hash, record })
        return
      }
      case "Neighbors": {
        const contacts = this.#believable(from, message.nodes)
        return this.#neighborsAwaited.tell(keyOf(from), nodeId, contacts)
      }
      case "EnrResponse": {
        const key = recordKey(from, message.requestHash)
        return this.#recordsAwaited.tell(key, nodeId, message.record)
      }
    }
  }

  #onPing(from: Contact, pingHash: Uint8Array, nowMs: number): void {
    const to = endpointOf(from)
    const endpoint = keyOf(to)
    this.#send(to, {
      _tag: "Pong",
      to: wireEndpoint(from.ip, from.udpPort, from.tcpPort),
      pingHash,
      expiration: expiryFrom(nowMs),
      enrSeq: this.#options.recordSeq,
    })
    this.#provenTo.set(endpoint, from.nodeId, nowMs + OUR_PROOF_MS)
    if (this.#proven.get(endpoint, nowMs) === from.nodeId) this.table.seen(from)
    else if (
      this.#pinging.get(endpoint, nowMs) === undefined &&
      this.#pingBackRates.take(rateKey(from.ip, from.udpPort), nowMs)
    ) {
      this.#sendPing(from, nowMs)
    }
    this.#pingsAwaited.tell(endpoint, from.nodeId)
  }

  #onPong(nodeId: string, pingHash: string, nowMs: number): void {
    const to = this.#pings.get(pingHash, nowMs)
    if (to === undefined || to.nodeId !== nodeId) return
    const endpoint = keyOf(endpointOf(to))
    this.#pings.delete(pingHash)
    this.#proven.set(endpoint, nodeId, nowMs + PROOF_MS)
    this.table.seen(to)
    this.#pongsAwaited.tell(endpoint, nodeId)
  }

  #onFindNode(from: UdpEndpoint, nodeId: string, target: Uint8Array, nowMs: number): void {
    const nodes = this.table
      .closest(
        placeOf(toHex(target)),
        BUCKET_NODES,
        (contact) => contact.nodeId !== nodeId && mayTell(from.ip, contact.ip),
      )
      .map(wireNode)
    const expiration = expiryFrom(nowMs)
    for (let at = 0; at === 0 || at < nodes.length; at += MAX_NEIGHBORS_IN_PACKET) {
      const some = nodes.slice(at, at + MAX_NEIGHBORS_IN_PACKET)
      this.#send(from, { _tag: "Neighbors", nodes: some, expiration })
    }
  }

  /** The neighbours that may be sent to, and that are others than we. */
  #believable(from: UdpEndpoint, nodes: ReadonlyArray<WireNode>): ReadonlyArray<Contact> {
    return nodes.slice(0, BUCKET_NODES).flatMap(({ ip: address, udpPort, tcpPort, id }) => {
      const ip = ipv4Text(address)
      const nodeId = toHex(id)
      const good = ip !== undefined && mayTell(from.ip, ip) && mayBePort(udpPort)
      return good && nodeId !== this.#options.nodeId ? [{ nodeId, ip, udpPort, tcpPort }] : []
    })
  }

  /** Gives the packet's hash. */
  #send(to: UdpEndpoint, message: Message): Uint8Array {
    const { bytes, hash } = writePacket(message, this.#options.privateKey)
    this.#options.send(to, bytes)
    return hash
  }
}
