/**
 * Nodes of discv4 by their distance from us (devp2p, `discv4.md`, "Kademlia Table"): a bucket of 16
 * for each logarithmic distance, and beside each up to 10 that wait for a place.
 *
 * In: contacts that have proved their endpoint. Out: the closest to a target. Pure but for the
 * table itself, which is changed in place; no clock.
 *
 * Invariants:
 * - A node is in at most one place; never we ourselves.
 * - A bucket holds at most 16, the least recently seen first; a full one takes nobody in, so that a
 *   crowd of new keys cannot drive out those who have been there long.
 * - Of one /24 of public addresses at most 2 are in a bucket and 10 in the table.
 */
import { keccak256 } from "../../domain/keccak.ts"
import { fromHex } from "../../domain/hex.ts"
import { reachOf, subnetOf } from "./addresses.ts"

/** A node as we reach it. */
export interface Contact {
  /** Public key without its leading 04: 128 lower-case hex digits. */
  readonly nodeId: string
  /** IPv4 as text. */
  readonly ip: string
  readonly udpPort: number
  /** 0 while it is not known, or for a node that only does discovery. */
  readonly tcpPort: number
}

/** Nodes of a bucket, and of an answer to FindNode (`discv4.md`: k). */
export const BUCKET_NODES = 16

const MAX_WAITING = 10
const MAX_SUBNET_IN_BUCKET = 2
const MAX_SUBNET_IN_TABLE = 10
/** Failures in a row after which a node loses its place: one lost packet is no proof of death. */
const MAX_FAILURES = 3

interface Place {
  readonly contact: Contact
  /** Keccak-256 of the node id, 32 bytes: distances are between these. */
  readonly hash: Uint8Array
  failures: number
}

interface Bucket {
  places: Array<Place>
  waiting: Array<Place>
}

/** Where a key lies in the space of distances, 32 bytes; `nodeId` is hex. */
export const placeOf = (nodeId: string): Uint8Array => keccak256(fromHex(nodeId))

/** Below 0 when `a` is nearer to `target` than `b` is (XOR metric). */
export const compareDistance = (target: Uint8Array, a: Uint8Array, b: Uint8Array): number => {
  for (let i = 0; i < target.length; i++) {
    const difference = (target[i]! ^ a[i]!) - (target[i]! ^ b[i]!)
    if (difference !== 0) return difference
  }
  return 0
}

/** Bits by which two places differ, counted from the highest that does; 0 for the same. */
export const logDistance = (a: Uint8Array, b: Uint8Array): number => {
  for (let i = 0; i < a.length; i++) {
    const difference = a[i]! ^ b[i]!
    if (difference !== 0) return (a.length - i) * 8 - (Math.clz32(difference) - 24)
  }
  return 0
}

/** See the module. */
export class NodeTable {
  readonly #own: Uint8Array
  readonly #buckets = new Map<number, Bucket>()
  readonly #subnets = new Map<string, number>()

  constructor(ownNodeId: string) {
    this.#own = placeOf(ownNodeId)
  }

  /** Nodes that have a place. */
  get size(): number {
    let size = 0
    for (const { places } of this.#buckets.values()) size += places.length
    return size
  }

  /** Everybody who has a place. */
  contacts(): Array<Contact> {
    return [...this.#buckets.values()].flatMap(({ places }) => places.map(({ contact }) => contact))
  }

  /** A node proved its endpoint just now: it gets a place, or waits for one. */
  seen(contact: Contact): void {
    const hash = placeOf(contact.nodeId)
    const distance = logDistance(this.#own, hash)
    if (distance === 0) return
    const bucket = this.#buckets.get(distance) ?? { places: [], waiting: [] }
    this.#buckets.set(distance, bucket)
    const known = this.#take(bucket, contact.nodeId)
    // The port for TCP is told by some packets only: what was known once is not forgotten.
    const tcpPort = contact.tcpPort || (known?.contact.tcpPort ?? 0)
    const place: Place = { contact: { ...contact, tcpPort }, hash, failures: 0 }
    bucket.waiting = bucket.waiting.filter((one) => one.contact.nodeId !== contact.nodeId)
    if (this.#hasRoom(bucket, contact.ip)) return this.#put(bucket, place)
    bucket.waiting.push(place)
    if (bucket.waiting.length > MAX_WAITING) bucket.waiting.shift()
  }

  /** A node did not answer; after a few times its place goes to the youngest that waits. */
  failed(nodeId: string): void {
    const bucket = this.#buckets.get(logDistance(this.#own, placeOf(nodeId)))
    const place = bucket?.places.find(({ contact }) => contact.nodeId === nodeId)
    if (bucket === undefined || place === undefined) return
    place.failures += 1
    if (place.failures < MAX_FAILURES) return
    this.#take(bucket, nodeId)
    for (let at = bucket.waiting.length - 1; at >= 0; at--) {
      const next = bucket.waiting[at]!
      if (!this.#hasRoom(bucket, next.contact.ip)) continue
      bucket.waiting.splice(at, 1)
      this.#put(bucket, next)
      return
    }
  }

  /** The `count` wanted nodes closest to a place, nearest first. */
  closest(
    target: Uint8Array,
    count: number,
    wanted: (contact: Contact) => boolean = () => true,
  ): Array<Contact> {
    return [...this.#buckets.values()]
      .flatMap(({ places }) => places.filter(({ contact }) => wanted(contact)))
      .sort((a, b) => compareDistance(target, a.hash, b.hash))
      .slice(0, count)
      .map(({ contact }) => contact)
  }

  /** The node of a bucket that was not seen for longest; `pick` in [0, 1) chooses the bucket. */
  stalest(pick: number): Contact | undefined {
    const filled = [...this.#buckets.values()].filter(({ places }) => places.length > 0)
    return filled[Math.floor(pick * filled.length)]?.places[0]?.contact
  }

  #hasRoom({ places }: Bucket, ip: string): boolean {
    if (places.length >= BUCKET_NODES) return false
    if (reachOf(ip) !== "public") return true
    const subnet = subnetOf(ip)
    const here = places.filter(({ contact }) => subnetOf(contact.ip) === subnet).length
    return here < MAX_SUBNET_IN_BUCKET && (this.#subnets.get(subnet) ?? 0) < MAX_SUBNET_IN_TABLE
  }

  #put(bucket: Bucket, place: Place): void {
    bucket.places.push(place)
    const subnet = subnetOf(place.contact.ip)
    this.#subnets.set(subnet, (this.#subnets.get(subnet) ?? 0) + 1)
  }

  /** Takes a node out of its place, where it has one. */
  #take(bucket: Bucket, nodeId: string): Place | undefined {
    const at = bucket.places.findIndex(({ contact }) => contact.nodeId === nodeId)
    if (at < 0) return undefined
    const place = bucket.places.splice(at, 1)[0]!
    const subnet = subnetOf(place.contact.ip)
    const left = (this.#subnets.get(subnet) ?? 1) - 1
    if (left > 0) this.#subnets.set(subnet, left)
    else this.#subnets.delete(subnet)
    return place
  }
}
