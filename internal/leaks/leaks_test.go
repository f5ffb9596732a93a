package leaks

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestFinder(t *testing.T) {
	signOf := func(token string, at time.Time) string {
		digest := sha256.Sum256(fmt.Appendf(nil, "%s%d", token, at.Unix()))
		return hex.EncodeToString(digest[:])
	}
	now := time.Now()
	f := New()
	f.AddToken("the harbor's token", "harbor-token")
	f.Add("a password", "pass-word")
	if got := f.In([]byte("nothing " + signOf("harbor-tokem", now))); got != nil {
		t.Errorf("found %v in nothing", got)
	}
	f.AddToken("the pier's token", "token-of-the-pier")
	for name, row := range map[string]struct{ text, want string }{
		"a token":               {"msg: harbor-token", "the harbor's token is in it"},
		"inside a word":         {"xpass-wordx", "a password is in it"},
		"a Sign":                {"?Sign=" + signOf("harbor-token", now), "a Sign of the harbor's token is in it"},
		"the other's":           {signOf("token-of-the-pier", now.Add(-time.Second)), "a Sign of the pier's token is in it"},
		"in capitals":           {strings.ToUpper(signOf("harbor-token", now.Add(-30*time.Second))), "a Sign of the harbor's token is in it"},
		"in a query in a query": {"url=%3FSign%3D" + signOf("harbor-token", now), "a Sign of the harbor's token is in it"},
		"in JSON":               {`"Sign\u003d` + signOf("harbor-token", now) + `"`, "a Sign of the harbor's token is in it"},
		"between others":        {strings.Repeat("a", 7) + signOf("harbor-token", now) + "b", "a Sign of the harbor's token is in it"},
		"behind other hex":      {"sha256 " + strings.Repeat("0", 64) + " " + signOf("harbor-token", now), "a Sign of the harbor's token is in it"},
	} {
		got := f.In([]byte(row.text))
		if len(got) != 1 || !strings.HasPrefix(got[0], row.want) {
			t.Errorf("%s: found %v, want %s", name, got, row.want)
		}
		if strings.Contains(strings.Join(got, ""), "harbor-token") {
			t.Errorf("%s: the finder tells it itself: %v", name, got)
		}
	}
}

func TestShortSecretsArePanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a secret of three letters was taken: it would be found everywhere, or looked for nowhere")
		}
	}()
	New().AddToken("new", "new")
}
