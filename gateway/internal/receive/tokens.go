package receive

import (
	"bytes"
	"slices"
	"sync/atomic"
	"time"

	"github.com/tidegate/tidegate/internal/apps"
)

// tokenUse is what is known of the use of one token. It belongs to the token and not to its
// position: it outlives a reload that moves the token, and ends with one that takes it away.
type tokenUse struct {
	since int64        // when this process began to take the token, Unix milliseconds
	last  atomic.Int64 // its last match, Unix milliseconds, up to tokenPause early; 0: none
	sum   remembered
}

// tokenPause is how long a match is not noted again, in milliseconds: a note takes what is remembered of
// the token from the cache of every other processor.
const tokenPause = 1000

// match notes that the token matched.
func (u *tokenUse) match(now time.Time) {
	if at := now.UnixMilli(); uint64(at-u.last.Load()) >= tokenPause { // a clock that was set back counts as much later
		u.last.Store(at)
	}
}

// tokenUses returns the uses of an app's tokens, one for each, in their order. Those of tokens
// that the app had before are shared with before, so that a match that is noted meanwhile is not
// lost. A token is known by its bytes, which both snapshots hold and nobody else; by its source it
// would not be: a file has another token after its rotation, which nothing has matched yet. Of two
// equal tokens, which authenticate cannot tell apart, the second has a use of its own.
func tokenUses(app *apps.App, before account, now time.Time) []*tokenUse {
	if before.app != nil && slices.EqualFunc(app.Tokens, before.app.Tokens, sameToken) {
		return before.uses
	}
	uses := make([]*tokenUse, len(app.Tokens))
	var taken []bool // of before's
	if before.app != nil {
		taken = make([]bool, len(before.uses))
	}
	for i := range app.Tokens {
		for k := range taken {
			if !taken[k] && sameToken(app.Tokens[i], before.app.Tokens[k]) {
				uses[i], taken[k] = before.uses[k], true
				break
			}
		}
		if uses[i] == nil {
			uses[i] = &tokenUse{since: now.UnixMilli()}
		}
	}
	return uses
}

func sameToken(a, b apps.Token) bool { return bytes.Equal(a.Bytes(), b.Bytes()) }
