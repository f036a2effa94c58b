/** The specification's own requests and responses (execution-apis, `tests`), as the fixtures hold them. */
import { readdirSync, readFileSync, statSync } from "node:fs"
import { fixture, fixturesDir } from "../support/fixtures.ts"

/** A request and what it is to be answered with. */
export interface Exchange {
  readonly name: string
  readonly method: string
  /** Undefined where the request has none. */
  readonly params: ReadonlyArray<unknown> | undefined
  readonly result: unknown
  readonly error: unknown
  /** Only the shape of the result counts. */
  readonly shapeOnly: boolean
}

/** The exchanges of a `.io` file: `>>` requests, each followed by its `<<` response. */
export const readExchanges = (name: string): ReadonlyArray<Exchange> => {
  const lines = readFileSync(fixture(`execution-apis/${name}`), "utf8").split("\n")
  const shapeOnly = lines.some((line) => line.startsWith("// speconly"))
  const said = (mark: string) =>
    lines.filter((line) => line.startsWith(mark)).map((line) => JSON.parse(line.slice(mark.length)))
  const responses = said("<<")
  return said(">>").map(({ method, params }, at) => {
    const { result, error } = responses[at]
    return { name, method, params, result, error, shapeOnly }
  })
}

/** All `.io` files, but those that hold nothing; none where there are no fixtures. */
export const exchangeNames: ReadonlyArray<string> =
  fixturesDir === undefined
    ? []
    : readdirSync(fixture("execution-apis"), { recursive: true, encoding: "utf8" })
        .filter(
          (name) => name.endsWith(".io") && statSync(fixture(`execution-apis/${name}`)).size > 0,
        )
        .sort()

/** A value with every text and number replaced by its kind. */
export const shapeOf = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(shapeOf)
  if (typeof value !== "object" || value === null) return typeof value
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, field]) => [key, shapeOf(field)]),
  )
}
