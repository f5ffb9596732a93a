package receive

import (
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/internal/apps"
	"github.com/tidegate/tidegate/schema"
)

func TestAuthenticate(t *testing.T) {
	snapshot := parseApps(t, testApps)
	const window = 300 * time.Second
	remembered := make(map[int64][]*tokenUse) // what one row leaves behind must not change another
	for app := range snapshot.All() {
		remembered[app.ID] = tokenUses(app, account{}, vectorNow)
	}
	at := func(seconds string, token string) string {
		return "&RequestTime=" + seconds + "&Sign=" + sign(token, seconds)
	}
	for _, tt := range []struct {
		name     string
		app      int64
		query    string
		want     refusal
		by       schema.Authenticated
		position int
		skew     time.Duration
	}{
		{"the vendor's vector", signedApp, "&RequestTime=" + vectorRequestTime + "&Sign=" + vectorSign, notRefused, schema.AuthenticatedSign, 0, time.Second},
		{"no token: nothing is proved", unsignedApp, "", notRefused, schema.AuthenticatedNone, noPosition, 0},
		{"no token, a Sign all the same", unsignedApp, at(vectorRequestTime, "guess"), notRefused, schema.AuthenticatedNone, noPosition, 0},
		{"rotation: the new token", rotatingApp, at(vectorRequestTime, "new-token"), notRefused, schema.AuthenticatedSign, 0, time.Second},
		{"rotation: the old token", rotatingApp, at(vectorRequestTime, "old-token"), notRefused, schema.AuthenticatedSign, 1, time.Second},
		{"another app's token", rotatingApp, at(vectorRequestTime, vectorToken), refusedSignWrong, schema.AuthenticatedSign, noPosition, 0},
		{"the empty token", signedApp, at(vectorRequestTime, ""), refusedSignWrong, schema.AuthenticatedSign, noPosition, 0},
		{"the oldest that is taken", signedApp, at("1669871813", vectorToken), notRefused, schema.AuthenticatedSign, 0, window},
		{"the newest that is taken", signedApp, at("1669872413", vectorToken), notRefused, schema.AuthenticatedSign, 0, -window},
		{"too old", signedApp, at("1669871812", vectorToken), refusedRequestTime, schema.AuthenticatedSign, 0, window + time.Second},
		{"too new", signedApp, at("1669872414", vectorToken), refusedRequestTime, schema.AuthenticatedSign, 0, -window - time.Second},
		{"RequestTime is hashed as received", signedApp, at("01669872112", vectorToken), notRefused, schema.AuthenticatedSign, 0, time.Second},
		{"RequestTime in milliseconds", signedApp, at("1669872112000", vectorToken), refusedRequestTime, schema.AuthenticatedSign, 0, 0},
		{"negative RequestTime", signedApp, at("-1", vectorToken), refusedRequestTime, schema.AuthenticatedSign, 0, 0},
		{"Sign without RequestTime", signedApp, "&Sign=" + vectorSign, refusedSignMissing, schema.AuthenticatedSign, noPosition, 0},
		{"empty Sign", signedApp, "&Sign=&RequestTime=" + vectorRequestTime, refusedSignMissing, schema.AuthenticatedSign, noPosition, 0},
		{"Sign too short", signedApp, "&Sign=" + vectorSign[1:] + "&RequestTime=" + vectorRequestTime, refusedSignWrong, schema.AuthenticatedSign, noPosition, 0},
		{"Sign too long", signedApp, "&Sign=" + vectorSign + "0&RequestTime=" + vectorRequestTime, refusedSignWrong, schema.AuthenticatedSign, noPosition, 0},
		{"mixed case", signedApp, "&Sign=" + strings.ToUpper(vectorSign[:30]) + vectorSign[30:] + "&RequestTime=" + vectorRequestTime, notRefused, schema.AuthenticatedSign, 0, time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var q query
			if f := q.parse([]byte(must + tt.query)); f != notRefused {
				t.Fatal(f)
			}
			for _, uses := range [][]*tokenUse{nil, remembered[tt.app], remembered[tt.app]} {
				p, buf, f := authenticate(snapshot.Get(tt.app), uses, &q, vectorNow, window, nil)
				if f != tt.want || p.by != tt.by || p.position != tt.position || p.skew != tt.skew {
					t.Errorf("refusal %d, proof %+v", f, p)
				}
				if strings.Contains(string(buf[:cap(buf)]), "token") {
					t.Error("the scratch still holds a token")
				}
			}
		})
	}
}

// TestUnresolvedToken: a token whose text is not known must match nothing, least of all the
// sum of RequestTime alone, which anyone can compute.
func TestUnresolvedToken(t *testing.T) {
	app := &apps.App{ID: 1, Tokens: []apps.Token{{Source: "file:/run/secrets/gone"}}}
	var q query
	if f := q.parse([]byte(must + "&RequestTime=" + vectorRequestTime + "&Sign=" + sign("", vectorRequestTime))); f != notRefused {
		t.Fatal(f)
	}
	if _, _, f := authenticate(app, tokenUses(app, account{}, vectorNow), &q, vectorNow, time.Hour, nil); f != refusedSignWrong {
		t.Errorf("refusal %d, want %d", f, refusedSignWrong)
	}
}
