package main

import (
	"context"
	"net/http"
	"os"
	"strings"
	"testing"
)

func TestNoticeIsPrinted(t *testing.T) {
	p, out := newPrinter(false)
	t.Setenv(receiverEnv, "") // put back after the test
	r, err := receiveNotices(p)
	if err != nil {
		t.Fatal(err)
	}
	for _, body := range []string{
		`{"type":"tidegate.notice.step","data":{"title":"[critical] Harbor Chat","text":"Used: 9,340\nOwner: you","apps":[{"severity":"critical"}]}}`,
		`{"text":"of another form"}`,
	} {
		res, err := http.Post(os.Getenv(receiverEnv), "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusOK {
			t.Errorf("status %d", res.StatusCode)
		}
	}
	r.close(context.Background())
	const want = "17:02:11  ✉ notice [critical] Harbor Chat\n            Used: 9,340\n            Owner: you\n" +
		"a notice that this program cannot read: {\"text\":\"of another form\"}\n"
	if out.String() != want {
		t.Errorf("printed\n%s\nwant\n%s", out, want)
	}
}
