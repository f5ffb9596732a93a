package receive

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"time"

	"github.com/tidegate/tidegate/internal/apps"
	"github.com/tidegate/tidegate/schema"
)

// noPosition is the position of a token where none matched.
const noPosition = -1

// proof is what authenticate found out.
type proof struct {
	by       schema.Authenticated
	position int           // of the token that matched, in the order of the apps file; noPosition
	skew     time.Duration // the gateway's clock minus RequestTime; of use only where position is one
	timed    bool          // RequestTime is a time, so that skew is one
}

// authenticate checks Sign = hex(sha256(token + RequestTime)) against every token of the
// app (trtc.io/document/34354, Chinese: cloud.tencent.com/document/product/269/32431).
//
// An app without tokens proves nothing and is let pass as AuthenticatedNone. Sign is
// compared in constant time with the sum of every token, so that the time that the answer takes
// shows nothing of the token. It covers neither body nor app nor command: that is the vendor's
// design. uses remembers each token's last sum, by position; nil: none is remembered. buf is scratch that is
// returned for the next call.
//
// Tokens are not read here where the sum is remembered: with hundreds of apps each is two memory
// accesses that the processor waits for, and they were most of what this took.
func authenticate(app *apps.App, uses []*tokenUse, q *query, now time.Time, window time.Duration, buf []byte) (proof, []byte, refusal) {
	tokens := len(uses)
	if tokens == 0 {
		tokens = len(app.Tokens)
	}
	if tokens == 0 {
		return proof{by: schema.AuthenticatedNone, position: noPosition}, buf, notRefused
	}
	p := proof{by: schema.AuthenticatedSign, position: noPosition}
	requestTime := q.attributes[schema.AttributeRequestTime]
	if len(q.sign) == 0 || len(requestTime) == 0 {
		return p, buf, refusedSignMissing
	}
	if len(q.sign) != signSize {
		return p, buf, refusedSignWrong
	}
	words, short := timeWords(requestTime)
	for i := range tokens {
		var last *remembered
		if short && uses != nil {
			last = &uses[i].sum
		}
		match, known := last.matches(words, q.sign)
		if !known {
			var sign [sha256.Size]byte
			if _, err := hex.Decode(sign[:], q.sign); err != nil {
				continue // no hex digits: it matches none
			}
			token := app.Tokens[i].Bytes()
			if len(token) == 0 {
				continue // not resolved: anyone could compute the sum of RequestTime alone
			}
			buf = append(append(buf[:0], token...), requestTime...)
			sum := sha256.Sum256(buf)
			clear(buf)
			if match = subtle.ConstantTimeCompare(sum[:], sign[:]) == 1; match {
				last.keep(words, &sum)
			}
		}
		if match {
			p.position = i
		}
	}
	if p.position == noPosition {
		return p, buf, refusedSignWrong
	}
	var at time.Time
	if at, p.timed = parseRequestTime(requestTime); !p.timed {
		return p, buf, refusedRequestTime
	}
	p.skew = now.Sub(at)
	if p.skew.Abs() > window {
		return p, buf, refusedRequestTime
	}
	return p, buf, notRefused
}

// parseRequestTime reads Unix seconds: 1 to maxRequestTime digits, which is enough until the year 5138.
func parseRequestTime(s []byte) (time.Time, bool) {
	if len(s) == 0 || len(s) > maxRequestTime {
		return time.Time{}, false
	}
	seconds := int64(0)
	for _, c := range s {
		if c < '0' || c > '9' {
			return time.Time{}, false
		}
		seconds = seconds*10 + int64(c-'0')
	}
	return time.Unix(seconds, 0), true
}
