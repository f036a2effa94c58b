/**
 * The flags of the server, for `annals serve` and for a sync that serves, and what they mean.
 *
 * In: the raw values of {@link serverFlags}, each fine by itself. Out: {@link ServerOptions}.
 * Defaults are those of `rpc/rpcLimits.ts`. Nothing can be wrong with them together, but that a
 * sync takes them only where it was asked to serve.
 */
import { defaultRpcLimits, type RpcLimits } from "../rpc/rpcLimits.ts"
import { accept, refuse, type Checked } from "./checked.ts"
import { maxTimerMs, type Flags, type RawOptions } from "./flags.ts"
import { storeDirectoryFlag } from "./statusOptions.ts"

const count = { kind: "integer", min: 1, max: 1_000_000_000 } as const
/** An answer is one text, and Node's have an end. */
const mebibytes = { kind: "integer", min: 1, max: 256 } as const
const MIB = 1024 * 1024

const bytesOf = (givenMib: number | undefined, otherwise: number): number =>
  givenMib === undefined ? otherwise : givenMib * MIB

/** How a server listens and what it allows. */
export const serverFlags = {
  "http-host": {
    kind: "text",
    placeholder: "ADDRESS",
    description:
      "Address that JSON-RPC is served at, over HTTP and WebSocket. Others than this machine reach it only where this says so, as 0.0.0.0 does.",
    default: "127.0.0.1",
  },
  "http-port": {
    kind: "integer",
    min: 0,
    max: 65_535,
    description: "Port that JSON-RPC is served at; 0: any free one, which is told on stderr.",
    default: 8545,
  },
  "http-vhost": {
    kind: "list",
    placeholder: "NAME",
    description:
      "A name of this host that requests may name, beside localhost and addresses; * for any.",
  },
  "cors-origin": {
    kind: "list",
    placeholder: "ORIGIN",
    description:
      "Origin whose pages may call from a browser, https://example.org say; * for any. Default: none.",
  },
  "rpc-max-request-mib": {
    ...mebibytes,
    description: "Most of a request, in MiB.",
    default: defaultRpcLimits.requestBytes / MIB,
  },
  "rpc-max-response-mib": {
    ...mebibytes,
    description: "Most of an answer, of a batch's together, in MiB.",
    default: defaultRpcLimits.responseBytes / MIB,
  },
  "rpc-max-batch": {
    ...count,
    description: "Calls in a batch.",
    default: defaultRpcLimits.batchCalls,
  },
  "rpc-max-connections": {
    ...count,
    description: "Connections at once, HTTP and WebSocket together.",
    default: defaultRpcLimits.connections,
  },
  "rpc-max-block-range": {
    ...count,
    description: "Blocks that a query of logs may span.",
    default: defaultRpcLimits.logBlocks,
  },
  "rpc-max-logs": {
    ...count,
    description: "Logs that a query may give.",
    default: defaultRpcLimits.logResults,
  },
  "rpc-max-filters": {
    ...count,
    description: "Filters and subscriptions of all clients together.",
    default: defaultRpcLimits.filters,
  },
  "rpc-call-timeout-ms": {
    kind: "integer",
    min: 1,
    max: maxTimerMs,
    description:
      "How long a call, or a batch, may be worked on, in milliseconds; the wait for its turn is not counted.",
    default: defaultRpcLimits.callMs,
  },
} satisfies Flags

/** What a user gave for {@link serverFlags}. */
export type RawServerOptions = RawOptions<typeof serverFlags>

/** How to listen, and what to allow. */
export interface ServerOptions {
  readonly host: string
  /** 0: any free port. */
  readonly port: number
  /** Names that requests may name. */
  readonly hosts: ReadonlyArray<string>
  /** Origins whose pages may call. */
  readonly origins: ReadonlyArray<string>
  readonly limits: RpcLimits
}

/** The options that the raw values ask for. */
export const serverOptions = (raw: RawServerOptions): Checked<ServerOptions> => {
  const foreign = raw["cors-origin"].find((origin) => !isOrigin(origin))
  if (foreign !== undefined) {
    return refuse(`--cors-origin takes an origin like https://example.org, or *, not "${foreign}"`)
  }
  const limits = defaultRpcLimits
  return accept({
    host: raw["http-host"] ?? serverFlags["http-host"].default,
    port: raw["http-port"] ?? serverFlags["http-port"].default,
    hosts: raw["http-vhost"],
    origins: raw["cors-origin"],
    limits: {
      requestBytes: bytesOf(raw["rpc-max-request-mib"], limits.requestBytes),
      responseBytes: bytesOf(raw["rpc-max-response-mib"], limits.responseBytes),
      batchCalls: raw["rpc-max-batch"] ?? limits.batchCalls,
      connections: raw["rpc-max-connections"] ?? limits.connections,
      logBlocks: raw["rpc-max-block-range"] ?? limits.logBlocks,
      logResults: raw["rpc-max-logs"] ?? limits.logResults,
      filters: raw["rpc-max-filters"] ?? limits.filters,
      callMs: raw["rpc-call-timeout-ms"] ?? limits.callMs,
    },
  })
}

/** As browsers write it in the header `Origin`: nothing behind the host and port. */
const isOrigin = (text: string): boolean =>
  text === "*" || /^[a-z][a-z0-9+.-]*:\/\/[^/?#\s]+$/.test(text)

/** The flags of a command that serves beside its work. */
export const serveBesideFlags = {
  serve: {
    kind: "switch",
    description:
      "Answer JSON-RPC from the store meanwhile, over HTTP and WebSocket; the flags below that begin with http, rpc and cors say how.",
  },
  ...serverFlags,
} satisfies Flags

/** What concerns serving: nothing where nobody asked to serve, which refuses what goes with it. */
export const serveBesideOptions = (
  raw: RawOptions<typeof serveBesideFlags> & { readonly benchmark: string | undefined },
): Checked<{ readonly serve?: ServerOptions }> => {
  if (!raw.serve) {
    const given: Readonly<Record<string, unknown>> = raw
    const stray = Object.keys(serverFlags).find((name) => {
      const value = given[name]
      return Array.isArray(value) ? value.length > 0 : value !== undefined
    })
    return stray === undefined ? accept({}) : refuse(`--${stray} goes with --serve`)
  }
  if (raw.benchmark !== undefined) return refuse("--serve does not go with --benchmark")
  const server = serverOptions(raw)
  return server.ok ? accept({ serve: server.value }) : server
}

/** The flags of `annals serve`. */
export const serveFlags = { ...serverFlags, "data-dir": storeDirectoryFlag } satisfies Flags

/** What `annals serve` is asked to do. */
export interface ServeOptions extends ServerOptions {
  readonly dataDir: string
}

/** The options that the raw values ask for. */
export const serveOptions = (raw: RawOptions<typeof serveFlags>): Checked<ServeOptions> => {
  const server = serverOptions(raw)
  if (!server.ok) return server
  return accept({ ...server.value, dataDir: raw["data-dir"] ?? storeDirectoryFlag.default })
}
