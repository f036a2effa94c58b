/**
 * Which requests over HTTP are let in, by their headers alone. Pure.
 *
 * A browser sends requests for any page that it shows. Three rules keep a page from reading the
 * store through its visitor: a request names a host that is ours (a page whose name was pointed at
 * this machine names its own), calls are declared as JSON (which a page may do only after it was
 * allowed to), and who says that he is a page is one that was allowed, by POST and over a WebSocket.
 */

/** Who may ask. */
export interface HttpRules {
  /** Names of hosts beside `localhost` and addresses; `*` lets any name in. */
  readonly hosts: ReadonlyArray<string>
  /** Origins whose pages may call; `*` lets every page. Empty: none. */
  readonly origins: ReadonlyArray<string>
}

/** Whether a request that names `host` (the header `Host`) is for us. */
export const hostAllowed = (host: string | undefined, { hosts }: HttpRules): boolean => {
  if (host === undefined || hosts.includes("*")) return true
  const name = host.replace(/:\d+$/, "").toLowerCase()
  return (
    name === "localhost" ||
    IPV4.test(name) ||
    (name.startsWith("[") && name.endsWith("]")) ||
    hosts.some((one) => one.toLowerCase() === name)
  )
}

const IPV4 = /^\d{1,3}(\.\d{1,3}){3}$/

/** What `Access-Control-Allow-Origin` says to a page of `origin`; undefined: nothing. */
export const allowedOrigin = (
  origin: string | undefined,
  { origins }: HttpRules,
): string | undefined => {
  if (origins.includes("*")) return "*"
  return origin !== undefined && origins.includes(origin) ? origin : undefined
}

/**
 * Whether calls may come from `origin`, by POST or over a WebSocket; what is no browser names none.
 * A page need not read an answer to do harm: filters that it makes take others' places.
 */
export const mayCall = (origin: string | undefined, rules: HttpRules): boolean =>
  origin === undefined || allowedOrigin(origin, rules) !== undefined

/**
 * Whether a body of this type is taken for JSON. One without a type is, but not from a page: it could
 * send that without being allowed to.
 */
export const isJsonType = (contentType: string | undefined, origin: string | undefined): boolean =>
  contentType === undefined
    ? origin === undefined
    : ["application/json", "application/json-rpc", "application/jsonrequest"].includes(
        contentType.split(";", 1)[0]!.trim().toLowerCase(),
      )
