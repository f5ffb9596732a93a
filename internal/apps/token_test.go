package apps

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// TestTokensNeverPrint prints a token, and everything that holds one, in all the ways in
// which Go programs print.
func TestTokensNeverPrint(t *testing.T) {
	const secret = "sup3rs3cr3t"
	s := mustParse(t, `apps: [{sdk_app_id: 1, name: a, tokens: ["plain:`+secret+`"]}]`, Options{ResolveTokens: true})
	app := s.Get(1)
	if string(app.Tokens[0].Bytes()) != secret {
		t.Fatal("the token was not resolved")
	}
	leaks := []string{secret, fmt.Sprintf("%x", secret), fmt.Sprintf("%X", secret), "[115 117 112", "115 117 112", "0x73, 0x75"}
	var unexported = struct{ hidden Token }{app.Tokens[0]}
	for name, value := range map[string]any{
		"token": app.Tokens[0], "pointer": &app.Tokens[0], "list": app.Tokens, "app": app, "app by value": *app, "snapshot": s, "unexported field": unexported,
	} {
		var out strings.Builder
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o", "%b", "%T", "%10s", "%!"} {
			fmt.Fprintf(&out, verb+"\n", value)
		}
		encoded, err := json.Marshal(value)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		out.Write(encoded)
		out.WriteString(logged(value))
		for _, leak := range leaks {
			if strings.Contains(out.String(), leak) {
				t.Errorf("%s: %q is in the output:\n%s", name, leak, out.String())
			}
		}
		if name == "token" && strings.Count(out.String(), masked) < 12 {
			t.Errorf("a token prints as\n%s", out.String())
		}
	}
}

// logged returns what zap makes of value as a field of each kind.
func logged(value any) string {
	var buf bytes.Buffer
	for _, encoder := range []zapcore.Encoder{
		zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.NewConsoleEncoder(zap.NewDevelopmentEncoderConfig()),
	} {
		log := zap.New(zapcore.NewCore(encoder, zapcore.AddSync(&buf), zapcore.DebugLevel))
		log.Info("m", zap.Any("any", value), zap.Reflect("reflect", value))
		log.Sugar().Infof("%v %+v", value, value)
	}
	return buf.String()
}

func TestTokenFiles(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{"good": "abc\n", "huge": strings.Repeat("x", maxTokenBytes+1), "limit": strings.Repeat("x", maxTokenBytes)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, row := range map[string]struct{ file, want string }{
		"good":           {"good", ""},
		"at the limit":   {"limit", ""},
		"far too large":  {"huge", "cannot be read: more than 65536 bytes, so not a token"},
		"a directory":    {".", "cannot be read: not a regular file"},
		"does not exist": {"none", "cannot be read: no such file or directory"},
	} {
		t.Run(name, func(t *testing.T) {
			source := "file:" + filepath.Join(dir, row.file)
			token, err := newResolver(Options{ResolveTokens: true}).token(source)
			if row.want == "" {
				if err != nil || len(token.Bytes()) == 0 {
					t.Errorf("token of %d bytes, error %v", len(token.Bytes()), err)
				}
				return
			}
			if want := source + " " + row.want; err == nil || err.Error() != want {
				t.Errorf("got  %v\nwant %s", err, want)
			}
		})
	}
}
