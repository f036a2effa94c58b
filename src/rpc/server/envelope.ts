/**
 * The envelope of JSON-RPC 2.0 (https://www.jsonrpc.org/specification): texts to calls, and results
 * to texts.
 *
 * In: the text of a request, one call or a batch of them. Out: what is to be called, with each call
 * that is none already refused. Answers are put together from the text of a result, which is
 * written once, however large it is.
 *
 * Invariants: no text throws; a call without `id` is a notification and is never answered; an `id`
 * comes back as it was, and one that could not (a whole number above 2^53 - 1) is refused.
 */
import { RpcError, rpcCodes } from "../rpcError.ts"

/** What a client tells its calls apart by. */
export type RpcId = string | number | null

/** A call, or the reason why it is none. */
export type Incoming =
  | {
      readonly kind: "call"
      /** Undefined: a notification. */
      readonly id: RpcId | undefined
      readonly method: string
      readonly params: ReadonlyArray<unknown>
    }
  | { readonly kind: "refused"; readonly id: RpcId; readonly error: RpcError }

/** A request: one call, whose answer stands alone, or several, whose answers stand in a list. */
export type Envelope =
  | { readonly kind: "single"; readonly call: Incoming }
  | { readonly kind: "batch"; readonly calls: ReadonlyArray<Incoming> }

/** The calls in `text`; `mostCalls` is what a batch may hold. */
export const readEnvelope = (text: string, mostCalls: number): Envelope => {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return whole(rpcCodes.parseError, "the request is no JSON")
  }
  if (!Array.isArray(value)) return { kind: "single", call: readCall(value) }
  if (value.length === 0) return whole(rpcCodes.invalidRequest, "the batch is empty")
  if (value.length > mostCalls) {
    const says = `a batch of ${value.length} calls: at most ${mostCalls} are taken`
    return whole(rpcCodes.invalidRequest, says)
  }
  return { kind: "batch", calls: value.map(readCall) }
}

/** The answer to a call that went well; `result` is JSON. */
export const resultText = (id: RpcId, result: string): string =>
  `{"jsonrpc":"2.0","id":${JSON.stringify(id)},"result":${result}}`

/** The answer to a call that did not. */
export const errorText = (id: RpcId, { code, message, data }: RpcError): string =>
  JSON.stringify({ jsonrpc: "2.0", id, error: { code, message, data } })

/** The answers of a batch, in the order of its calls; undefined where nobody is to be answered. */
export const batchText = (answers: ReadonlyArray<string | undefined>): string | undefined => {
  const given = answers.filter((answer) => answer !== undefined)
  return given.length === 0 ? undefined : `[${given.join(",")}]`
}

/** What goes to a subscriber without being asked for; `result` is JSON. */
export const notificationText = (subscription: string, result: string): string =>
  `{"jsonrpc":"2.0","method":"eth_subscription","params":{"subscription":"${subscription}","result":${result}}}`

const whole = (code: number, message: string): Envelope => ({
  kind: "single",
  call: { kind: "refused", id: null, error: new RpcError(code, message) },
})

const readCall = (value: unknown): Incoming => {
  if (!isObject(value)) return refuse(null, "a call is an object")
  const id = value["id"]
  const echoed = isId(id) ? id : null
  if (id !== undefined && !isId(id)) {
    return refuse(null, "id must be a string, null, or a number of at most 2^53 - 1")
  }
  if (value["jsonrpc"] !== "2.0") return refuse(echoed, 'jsonrpc must be "2.0"')
  const method = value["method"]
  if (typeof method !== "string") return refuse(echoed, "method must be a string")
  const params = value["params"] ?? []
  if (Array.isArray(params)) return { kind: "call", id, method, params }
  // A notification is not answered, whatever is wrong with its parameters.
  if (id === undefined) return { kind: "call", id, method: "", params: [] }
  return isObject(params)
    ? refuse(echoed, "params must be a list: none are taken by name", rpcCodes.invalidParams)
    : refuse(echoed, "params must be a list")
}

const refuse = (id: RpcId, message: string, code: number = rpcCodes.invalidRequest): Incoming => ({
  kind: "refused",
  id,
  error: new RpcError(code, message),
})

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const isId = (value: unknown): value is RpcId =>
  value === null || typeof value === "string" || (typeof value === "number" && isTold(value))

/** Whether JSON gives a number back as it was: not above 2^53 - 1, nor what is no number of JSON. */
const isTold = (value: number): boolean =>
  Number.isInteger(value) ? Number.isSafeInteger(value) : Number.isFinite(value)
