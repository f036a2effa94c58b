/** What kept a session from being opened: its name in the counters, and a few words for people. Pure. */
import type { SessionOpenError } from "../wire/WireError.ts"

/** The name under which an opening error is counted, whoever dialled whom. */
export const openErrorName = (error: SessionOpenError): string => {
  switch (error._tag) {
    case "ConnectFailed":
      return error.timedOut ? "connect_timeout" : "unreachable"
    case "HandshakeFailed":
      return `${error.phase}_${error.timedOut ? "timeout" : "failed"}`
    case "WrongNetwork":
      return `wrong_${error.what}`
    case "NoCommonProtocol":
      return "no_common_protocol"
    case "RefusedByPeer":
      return error.reason
  }
}

/** An opening error in a few words, for people. */
export const describeOpenError = (error: SessionOpenError): string => {
  switch (error._tag) {
    case "ConnectFailed":
      return error.timedOut ? "no answer to the connection" : `not reachable (${error.reason})`
    case "HandshakeFailed":
      return error.timedOut
        ? `silent during the ${error.phase}`
        : `failed in the ${error.phase} (${error.reason})`
    case "WrongNetwork":
      return `on another chain: ${error.what} is ${error.actual}, ours is ${error.expected}`
    case "NoCommonProtocol":
      return `no eth/68 to eth/70, only ${error.offered.join(", ") || "nothing"}`
    case "RefusedByPeer":
      return `refused in the ${error.phase} (${error.reason})`
  }
}
