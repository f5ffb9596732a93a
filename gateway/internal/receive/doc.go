// Package receive is HTTP in: it takes the vendor's callbacks, makes them entries of the
// journal, and answers.
//
// What it promises:
//
//   - A callback is answered 200 only when it was dropped by its route or when the journal
//     reached the route's ack level. Every other answer is a refusal: one row of the table
//     in refusal.go, which is the only place that knows status codes. Every answer is JSON
//     with the vendor's envelope, and no text of an internal error is in it.
//   - A refusal is either *not taken*, and then the callback never comes, or *not
//     confirmed*, and then it was appended and may still come, once. They have different
//     ErrorCodes. What was refused for Sign, its time or an unknown app is handed over before
//     the answer (Options.Quarantine) and can be looked at again (Rechecker).
//   - An accepted callback costs no allocation: the query is parsed in place, the app is
//     looked up in an immutable map, and the one copy of the bytes is the one into the
//     journal.
//   - What an app sends can cost another app nothing but its share of the processor:
//     rates are per app, every table is bounded, and the last tenth of the in-flight cap
//     (as of the journal's budget) is for routes with reserve, that is the quota alarm's.
//   - Who guesses tokens or apps is slowed down by source, and by what fails only: a right Sign
//     is never refused for what else came from its address.
//   - No Sign, token, query string or body is logged, counted, or shown on /apps.
//
// The stages of one callback, each in the file of its name:
//
//	handler.go       the order of the stages, and the answer
//	source.go        where the request comes from, and whether it may
//	parse.go         request line and query -> schema.Callback, views only (fields.go: what may stand in them)
//	authenticate.go  Sign and RequestTime against the app's tokens
//	guessing.go      who fails too often is not told why
//	routes.go        command and app -> topic, ack level, static answer, or drop
//	limit.go         the app's token buckets (kept in its ledger, see accounts.go); the in-flight cap
//	refusal.go       what is answered when none of them let it pass
//
// quarantine.go hands over what authentication refused, and looks again. Below the stages, plain.go is how
// nearly every request is read and answered, without fasthttp, and server.go is fasthttp, for all others, as it
// may stand on the open internet; conn.go how a connection ends without a request being cut, deadline.go how
// its deadlines cost nothing, held.go how an answer waits for the journal without a goroutine waiting for it,
// files.go how a connection is refused when the process has no files left, refusallog.go how a flood of
// refusals is few lines of the log, answertimes.go how times are counted without meeting others. What stands
// before the first byte of HTTP, TLS and the PROXY protocol, is package edge.
//
// # What strangers can cost
//
// Memory: a connection takes up to 40 KiB, whatever it sends: buffers for reading and writing, a
// body of up to 16 KiB that it may keep for the next. Larger bodies take their share of
// MaxWaitingBytes while they are read (waiting.go). So it is never more than
//
//	MaxConnections x 40 KiB + 2 x MaxWaitingBytes
//
// (under TLS 64 KiB, of which a handshake that does not end has most, see package edge)
// and what the garbage collector has not freed yet, as fasthttp rounds a buffer up to a power of
// two. Who is refused is refused before the body is read where the header tells enough (early.go).
//
// Time: ReadTimeout is for a whole request from its first byte, header and body, so that one byte a
// second ends like silence; a time of its own for the header would only be a shorter one of these.
// A connection whose last request was refused waits as long as that for the next, not IdleTimeout.
//
// A client that ends its side together with a request which is not its first is seen to have done so
// by the sweep of the deadlines (socket.EndWait).
//
// Framing: a request is what net/http and RFC 9112 say it is, or it is refused and its connection
// closed (framing.go). testdata/wire is the corpus, testdata/wire.txt what is answered,
// testdata/differences.txt where net/http answers otherwise, always less strictly.
//
// # Refusals
//
// ErrorCode, HTTP status and reason (the metrics' label and the word on /apps). The numbers
// are part of the contract with those who read answers: they never change their meaning, and
// new ones are added at the end.
//
//	 1  405  method             not POST
//	 2  404  path               not the path of --path
//	 3  400  http               the request is not HTTP as we take it
//	 4  408  timeout            the request was not there in time
//	 5  431  header_size        request line and headers are too large
//	 6  413  body_size          the body is larger than --max-body-bytes
//	 7  400  query              NUL, control bytes, invalid UTF-8 or bad percent-encoding; a doubled Sign or RequestTime
//	 8  400  app_missing        no SdkAppid
//	 9  400  app_doubled        more than one SdkAppid
//	10  400  app_malformed      SdkAppid is no positive integer of at most 2^53-1
//	11  400  command_missing    no CallbackCommand
//	12  400  command_doubled    more than one CallbackCommand
//	13  400  command_malformed  CallbackCommand is not 1 to 128 of A-Z a-z 0-9 . _ -
//	14  400  body_empty         no body
//	15  401  sign_missing       the app has tokens, and Sign or RequestTime is missing
//	16  401  sign_wrong         Sign matches none of the app's tokens
//	17  401  request_time       Sign is right, RequestTime is outside --request-time-window
//	18  403  app_unknown        SdkAppid is not one of ours
//	19  429  rate               the app is over its rate_limit, its quota alarms over their alarm_rate_limit
//	20  503  journal_full       not taken: the journal cannot take it
//	21  503  busy               not taken: too many callbacks in flight, too many bytes of bodies, or the disk is slower than they come
//	22  503  parked_full        not taken: the topic refuses, and what is parked for it has no room
//	23  503  draining           not taken: this gateway is stopping
//	24  503  connections        not taken: too many connections
//	25  503  not_confirmed      not confirmed: appended, but the ack level was not reached in time
//	26  503  parked             not confirmed: the topic refuses; the callback is kept and comes later
//	27  429  guessing           in place of 15, 16 or 18: too many of this source's requests failed so
//	28  403  source             the source is in none of the networks of --allow-sources
//
// Who owns what: fasthttp owns the RequestCtx and with it every view until the handler returns; the views of
// a plain request are into fasthttp's read buffer, and live until conn.Read reads again. Both ways return only
// after the journal has copied; a pooled request owns the scratch that decoded parameters live in; a connection owns the answer that
// it holds, and a copy of what is counted with it; Routes and the apps' snapshot
// are immutable and shared; the per-app state (buckets, counters, last refusals) belongs to
// the Receiver and survives a reload of the apps file.
package receive
