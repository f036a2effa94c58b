/**
 * Reading the fields of a genesis.json, which has grown over ten years and several clients: numbers
 * as JSON numbers, decimal or hex text, hex with or without 0x, names in more than one case.
 *
 * In: parsed JSON. Out: checked values; `undefined` for what is absent or null. Whatever is wrong
 * is a {@link GenesisInvalid} that names the place; the author of the file is to blame.
 */
import { parseHex } from "../domain/hex.ts"

/** A genesis.json that cannot be used. */
export class GenesisInvalid extends Error {
  override readonly name = "GenesisInvalid"
  readonly _tag = "GenesisInvalid"
  /** The field, as a path through the file: `config.chainId`, `alloc.0x….balance`; or `file`. */
  readonly where: string
  /** One clause in plain words. */
  readonly reason: string

  constructor(where: string, reason: string) {
    super(`${where}: ${reason}`)
    this.where = where
    this.reason = reason
  }
}

/** A JSON object together with where it stands in the file. */
export class GenesisObject {
  readonly where: string
  readonly #values: ReadonlyMap<string, unknown>
  readonly #keysByLowerCase: ReadonlyMap<string, string>

  private constructor(where: string, values: ReadonlyMap<string, unknown>) {
    this.where = where
    this.#values = values
    this.#keysByLowerCase = new Map([...values.keys()].map((key) => [key.toLowerCase(), key]))
  }

  /** Takes `value` as a JSON object; `where` is its path, empty for the whole file. */
  static of(value: unknown, where: string): GenesisObject {
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      throw new GenesisInvalid(where === "" ? "file" : where, "not a JSON object")
    }
    return new GenesisObject(where, new Map(Object.entries(value)))
  }

  /** The path of the field `key`. */
  path(key: string): string {
    return this.where === "" ? key : `${this.where}.${key}`
  }

  /** The keys as written, in the order of the file. */
  keys(): ReadonlyArray<string> {
    return [...this.#values.keys()]
  }

  /** The raw value, null as undefined. Case of the key does not matter: geth's reader ignores it. */
  value(key: string): unknown {
    const exact = this.#values.has(key) ? key : this.#keysByLowerCase.get(key.toLowerCase())
    return exact === undefined ? undefined : (this.#values.get(exact) ?? undefined)
  }

  /** The field as an object. */
  object(key: string): GenesisObject | undefined {
    const value = this.value(key)
    return value === undefined ? undefined : GenesisObject.of(value, this.path(key))
  }

  /** The field as an unsigned integer of at most `bits` bits. */
  quantity(key: string, bits: number): bigint | undefined {
    const value = this.value(key)
    if (value === undefined) return undefined
    const number = parseQuantity(value, this.path(key))
    if (number >> BigInt(bits) !== 0n) {
      throw new GenesisInvalid(this.path(key), `more than ${bits} bits`)
    }
    return number
  }

  /** The field as an unsigned integer that a JavaScript number holds exactly. */
  safeNumber(key: string): number | undefined {
    const value = this.quantity(key, 256)
    if (value === undefined) return undefined
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) {
      throw new GenesisInvalid(this.path(key), "above 2^53 - 1")
    }
    return Number(value)
  }

  /** The field as bytes, of exactly `length` of them where given. */
  bytes(key: string, length?: number): Uint8Array | undefined {
    const value = this.value(key)
    if (value === undefined) return undefined
    return parseBytes(value, this.path(key), length)
  }
}

/** `value`, or a {@link GenesisInvalid} for a field that may not be absent. */
export const required = <A>(value: A | undefined, where: string): A => {
  if (value === undefined) throw new GenesisInvalid(where, "missing")
  return value
}

/** A hex text as bytes, of exactly `length` of them where given. */
export const parseBytes = (value: unknown, where: string, length?: number): Uint8Array => {
  const bytes = typeof value === "string" ? parseHex(value) : undefined
  if (bytes === undefined) throw new GenesisInvalid(where, "not a hex text of whole bytes")
  if (length !== undefined && bytes.length !== length) {
    throw new GenesisInvalid(where, `${bytes.length} bytes instead of ${length}`)
  }
  return bytes
}

const parseQuantity = (value: unknown, where: string): bigint => {
  if (typeof value === "string" && /^(0x[0-9a-f]+|\d+)$/i.test(value)) return BigInt(value)
  if (typeof value !== "number") {
    throw new GenesisInvalid(where, "not an unsigned number, decimal text or 0x hex text")
  }
  if (!Number.isInteger(value) || value < 0) {
    throw new GenesisInvalid(where, "not an unsigned whole number")
  }
  if (!Number.isSafeInteger(value)) {
    throw new GenesisInvalid(where, "above 2^53 - 1, which JSON numbers do not hold exactly")
  }
  return BigInt(value)
}
