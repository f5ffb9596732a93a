package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// receiverEnv is where the consumer finds the receiver's URL: its port is another at each
// start, and the person may have changed the file that says who is told.
const receiverEnv = "TIDEGATE_LOCAL_NOTICES"

// sampleNotify is the notify file that is written where there is none.
const sampleNotify = `# Who is told of what, to be edited: this file is read again when it changes. Try a channel
# with: bin/consumer notify test NAME --notify=THIS FILE
channels:
  - {name: here, type: webhook, url: "env:` + receiverEnv + `"}   # printed where the demo runs
# - {name: oncall, type: alertmanager, url: "http://127.0.0.1:9093"}
# - {name: harbor, type: dingtalk, url: "file:robot-url", secret: "file:robot-secret", language: zh}
rules: []   # such as {owner: [team-harbor], severity: [critical, exhausted], channels: [oncall]}
default: [here]
`

// maxNoticeBytes bounds what the receiver reads of one request.
const maxNoticeBytes = 1 << 20

// receiver takes the notices that the consumer sends and prints them.
type receiver struct {
	server *http.Server
	ended  chan struct{} // closed when server has ended
}

// receiveNotices listens on a free port of the loopback, prints what comes to out, and
// tells the children where.
func receiveNotices(out *printer) (*receiver, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("receive notices: %w", err)
	}
	if err := os.Setenv(receiverEnv, "http://"+listener.Addr().String()+"/"); err != nil {
		return nil, errors.Join(fmt.Errorf("receive notices: %w", err), listener.Close())
	}
	r := &receiver{ended: make(chan struct{}), server: &http.Server{
		ReadTimeout: 5 * time.Second,
		Handler: http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
			body, _ := io.ReadAll(io.LimitReader(req.Body, maxNoticeBytes)) // what cannot be read is printed as far as it can
			fmt.Fprint(out, out.notice(body))
		}),
	}}
	go func() {
		defer close(r.ended)
		_ = r.server.Serve(listener) // ends with Close only
	}()
	return r, nil
}

// close ends the receiver.
func (r *receiver) close(ctx context.Context) {
	if r.server.Shutdown(ctx) != nil {
		_ = r.server.Close()
	}
	<-r.ended
}

// notice is a notice as it is printed: its title, and the facts below it.
func (p *printer) notice(body []byte) string {
	var sent struct {
		Data struct {
			Title, Text string
			Apps        []struct{ Severity string }
		}
	}
	if err := json.Unmarshal(body, &sent); err != nil || sent.Data.Title == "" {
		return "a notice that this program cannot read: " + string(body) + "\n"
	}
	colour := cyan
	for _, app := range sent.Data.Apps {
		switch {
		case app.Severity == "critical":
			colour = red
		case app.Severity == "warning" && colour != red:
			colour = yellow
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s %s\n", p.now().Format("15:04:05"), p.paint(colour, "✉ notice"), sent.Data.Title)
	for line := range strings.Lines(sent.Data.Text) {
		b.WriteString(p.paint(dim, "            "+strings.TrimRight(line, "\n")) + "\n")
	}
	return b.String()
}
