package receive

import (
	"fmt"
	"strconv"

	"github.com/valyala/fasthttp"
)

// refusal is the reason for an answer that is not 200, and its number is the answer's
// ErrorCode. The zero value is no refusal.
type refusal uint8

// The refusals, in the order of the package's documentation. The numbers are published:
// new ones go to the end.
const (
	notRefused refusal = iota
	refusedMethod
	refusedPath
	refusedHTTP
	refusedTimeout
	refusedHeaderSize
	refusedBodySize
	refusedQuery
	refusedAppMissing
	refusedAppDoubled
	refusedAppMalformed
	refusedCommandMissing
	refusedCommandDoubled
	refusedCommandMalformed
	refusedBodyEmpty
	refusedSignMissing
	refusedSignWrong
	refusedRequestTime
	refusedAppUnknown
	refusedRate
	refusedJournalFull
	refusedBusy
	refusedParkedFull
	refusedDraining
	refusedConnections
	unconfirmed
	unconfirmedParked
	refusedGuessing
	refusedSource
	numRefusals
)

// result is the first label of tidegate_gateway_callbacks_total: what became of a callback.
type result string

// The results, a closed enum.
const (
	resultAccepted    result = "accepted"    // 200, in the journal
	resultDropped     result = "dropped"     // 200, the route drops it
	resultRefused     result = "refused"     // not taken: it never comes
	resultUnconfirmed result = "unconfirmed" // it may still come, once
)

// row is one line of the table of answers.
type row struct {
	status     int
	reason     string // label in metrics, word on /apps: never changed
	text       string // ErrorInfo
	result     result
	retryAfter int  // seconds; 0: no Retry-After, as repeating it changes nothing
	close      bool // the connection is of no more use
	envelope   []byte
}

// Retry-After of the refusals that pass by themselves, in seconds. Those of rate and guessing are
// computed, see limit.go.
const (
	retrySoon  = 1  // the cause is over as soon as others are answered, or another gateway answers
	retryLater = 10 // the cause is a disk or a broker
)

// refusals is the one table of what is answered when something is refused.
var refusals = buildRefusals([numRefusals]row{
	refusedMethod:           {status: 405, reason: "method", text: "only POST is taken"},
	refusedPath:             {status: 404, reason: "path", text: "no callbacks are taken at this path"},
	refusedHTTP:             {status: 400, reason: "http", text: "malformed HTTP request", close: true},
	refusedTimeout:          {status: 408, reason: "timeout", text: "request was not complete in time", close: true},
	refusedHeaderSize:       {status: 431, reason: "header_size", text: "request line and headers are too large", close: true},
	refusedBodySize:         {status: 413, reason: "body_size", text: "body is too large"},
	refusedQuery:            {status: 400, reason: "query", text: "malformed query string"},
	refusedAppMissing:       {status: 400, reason: "app_missing", text: "SdkAppid is missing"},
	refusedAppDoubled:       {status: 400, reason: "app_doubled", text: "SdkAppid is there more than once"},
	refusedAppMalformed:     {status: 400, reason: "app_malformed", text: "SdkAppid is not a positive integer"},
	refusedCommandMissing:   {status: 400, reason: "command_missing", text: "CallbackCommand is missing"},
	refusedCommandDoubled:   {status: 400, reason: "command_doubled", text: "CallbackCommand is there more than once"},
	refusedCommandMalformed: {status: 400, reason: "command_malformed", text: "CallbackCommand is malformed"},
	refusedBodyEmpty:        {status: 400, reason: "body_empty", text: "body is empty"},
	refusedSignMissing:      {status: 401, reason: "sign_missing", text: "Sign or RequestTime is missing"},
	refusedSignWrong:        {status: 401, reason: "sign_wrong", text: "Sign is wrong"},
	refusedRequestTime:      {status: 401, reason: "request_time", text: "RequestTime is too far from the time here"},
	refusedAppUnknown:       {status: 403, reason: "app_unknown", text: "SdkAppid is not known here"},
	refusedRate:             {status: 429, reason: "rate", text: "this app sends too fast", retryAfter: retrySoon},
	refusedJournalFull:      {status: 503, reason: "journal_full", text: "not taken: no room", retryAfter: retryLater},
	refusedBusy:             {status: 503, reason: "busy", text: "not taken: too busy", retryAfter: retrySoon},
	refusedParkedFull:       {status: 503, reason: "parked_full", text: "not taken: no room for this topic", retryAfter: retryLater},
	refusedDraining:         {status: 503, reason: "draining", text: "not taken: stopping", retryAfter: retrySoon, close: true},
	refusedConnections:      {status: 503, reason: "connections", text: "not taken: too many connections", retryAfter: retrySoon, close: true},
	unconfirmed:             {status: 503, reason: "not_confirmed", text: "not confirmed: may still be delivered", result: resultUnconfirmed, retryAfter: retryLater},
	unconfirmedParked:       {status: 503, reason: "parked", text: "not confirmed: kept for later delivery", result: resultUnconfirmed, retryAfter: retryLater},
	refusedGuessing:         {status: 429, reason: "guessing", text: "too many requests that fail", retryAfter: retrySoon},
	refusedSource:           {status: 403, reason: "source", text: "this source may not send here", close: true},
})

// buildRefusals completes the rows with what follows from them.
func buildRefusals(rows [numRefusals]row) [numRefusals]row {
	for i := range rows {
		r := &rows[i]
		if r.result == "" {
			r.result = resultRefused
		}
		r.envelope = fmt.Appendf(nil, `{"ActionStatus":"FAIL","ErrorInfo":%q,"ErrorCode":%d}`, r.text, i)
	}
	return rows
}

// okEnvelope is the answer that the vendor takes for success, byte for byte
// (trtc.io/document/34354).
var okEnvelope = []byte(`{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}`)

var contentTypeJSON = []byte("application/json")

// answer writes a 200 with body, which must stay as it is until the connection has sent
// it: a constant or a route's.
func answer(ctx *fasthttp.RequestCtx, body []byte) {
	ctx.Response.Header.SetContentTypeBytes(contentTypeJSON)
	ctx.Response.SetBodyRaw(body)
}

// answerRefusal writes the row of f. retryAfter in seconds replaces the row's where it is
// not 0.
func answerRefusal(ctx *fasthttp.RequestCtx, f refusal, retryAfter int) {
	r := &refusals[f]
	ctx.Response.SetStatusCode(r.status)
	ctx.Response.Header.SetContentTypeBytes(contentTypeJSON)
	ctx.Response.SetBodyRaw(r.envelope)
	if retryAfter == 0 {
		retryAfter = r.retryAfter
	}
	if retryAfter > 0 {
		var digits [20]byte
		ctx.Response.Header.SetBytesV("Retry-After", strconv.AppendInt(digits[:0], int64(retryAfter), 10))
	}
	switch r.status {
	case fasthttp.StatusMethodNotAllowed:
		ctx.Response.Header.Set("Allow", "POST") // RFC 9110, 15.5.6
	case fasthttp.StatusUnauthorized:
		ctx.Response.Header.Set("WWW-Authenticate", "Sign") // RFC 9110, 15.5.2
	}
	if r.close {
		ctx.SetConnectionClose()
	}
}

// rawAnswer is the whole response of a refusal, for a connection that no server serves.
func rawAnswer(f refusal) []byte {
	r := &refusals[f]
	return fmt.Appendf(nil, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %d\r\nRetry-After: %d\r\nConnection: close\r\n\r\n%s",
		r.status, fasthttp.StatusMessage(r.status), contentTypeJSON, len(r.envelope), r.retryAfter, r.envelope)
}
