/**
 * Turns a table of flags into options of @effect/cli.
 *
 * In: a table of `flags.ts`. Out: options that parse to what was given, with undefined, false and
 * the empty list for what was not, and whose help states the default. Values were checked by
 * `commandLine.ts` before; the library would refuse bad ones too, less clearly.
 */
import * as Options from "@effect/cli/Options"
import * as Option from "effect/Option"
import type { Flag, Flags, RawOptions } from "./flags.ts"

/** The options of all flags of a table, as one record by the flags' names. */
export const flagOptions = <F extends Flags>(flags: F): Options.Options<RawOptions<F>> => {
  const entries = Object.entries(flags).map(([name, flag]) => [name, optionOf(name, flag)] as const)
  return Options.map(
    Options.all(Object.fromEntries(entries)),
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the record was made from the very table that the type is computed from
    (values) => values as RawOptions<F>,
  )
}

const optionOf = (name: string, flag: Flag): Options.Options<unknown> => {
  const describe = Options.withDescription(description(flag))
  switch (flag.kind) {
    case "switch":
      return describe(Options.boolean(name))
    case "integer":
      return orUndefined(Options.integer(name).pipe(Options.withPseudoName("NUMBER"), describe))
    case "choice":
      return orUndefined(describe(Options.choice(name, flag.choices)))
    case "text":
      return orUndefined(
        Options.text(name).pipe(Options.withPseudoName(flag.placeholder), describe),
      )
    case "list":
      return Options.text(name).pipe(
        Options.withPseudoName(flag.placeholder),
        describe,
        Options.repeated,
      )
  }
}

const orUndefined = <A>(option: Options.Options<A>): Options.Options<A | undefined> =>
  Options.map(Options.optional(option), Option.getOrUndefined)

const description = (flag: Flag): string =>
  "default" in flag && flag.default !== undefined
    ? `${flag.description} Default: ${flag.default}.`
    : flag.description
