package kafkaconn

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

const secret = "correct horse battery"

// file writes a file of the test and returns its path.
func file(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFlagsThatDisagree(t *testing.T) {
	brokers := []string{"a:1"}
	for _, tt := range []struct {
		name  string
		flags Flags
		want  error
		text  string
	}{
		{"no brokers", Flags{}, ErrNoBrokers, ""},
		{"brokers are commas and blanks", Flags{Brokers: []string{" , ", ""}}, ErrNoBrokers, ""},
		{"ca without tls", Flags{Brokers: brokers, TLSCA: "f"}, ErrTLSOff, ""},
		{"certificate without tls", Flags{Brokers: brokers, TLSCert: "f", TLSKey: "k"}, ErrTLSOff, ""},
		{"certificate without key", Flags{Brokers: brokers, TLS: true, TLSCert: "f"}, nil, "--kafka-tls-key"},
		{"key without certificate", Flags{Brokers: brokers, TLS: true, TLSKey: "f"}, nil, "--kafka-tls-cert"},
		{"user without mechanism", Flags{Brokers: brokers, SASLUser: "u"}, ErrSASLOff, ""},
		{"mechanism without user", Flags{Brokers: brokers, TLS: true, SASL: "plain", SASLPasswordFile: "f"}, nil, "--kafka-sasl-user"},
		{"mechanism without password", Flags{Brokers: brokers, TLS: true, SASL: "plain", SASLUser: "u"}, nil, "--kafka-sasl-password-file"},
		{"sasl in clear", Flags{Brokers: brokers, SASL: "scram-sha-256", SASLUser: "u", SASLPasswordFile: "f"}, ErrPlaintextSASL, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := Open(tt.flags, "test")
			if c != nil || err == nil {
				t.Fatal("opened")
			}
			if tt.want != nil && !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("error %q", err)
			}
		})
	}
}

func TestFilesThatDoNotServe(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	text := file(t, "text", secret)
	for name, f := range map[string]Flags{
		"ca is missing":        {TLS: true, TLSCA: missing},
		"ca is no certificate": {TLS: true, TLSCA: text},
		"certificate is none":  {TLS: true, TLSCert: text, TLSKey: text},
		"password is missing":  {TLS: true, SASL: "plain", SASLUser: "u", SASLPasswordFile: missing},
		"password is empty":    {TLS: true, SASL: "plain", SASLUser: "u", SASLPasswordFile: file(t, "empty", "\n")},
		"password is odd":      {TLS: true, SASL: "scram-sha-256", SASLUser: "u", SASLPasswordFile: file(t, "odd", secret+"\u0007")},
		"mechanism is unknown": {TLS: true, SASL: "gssapi", SASLUser: "u", SASLPasswordFile: text},
	} {
		t.Run(name, func(t *testing.T) {
			f.Brokers = []string{"a:1"}
			_, err := Open(f, "test")
			if err == nil {
				t.Fatal("opened")
			}
			if strings.Contains(err.Error(), secret) {
				t.Errorf("the secret is in the error %q", err)
			}
		})
	}
}

func TestBrokersAreListsOfLists(t *testing.T) {
	c, err := Open(Flags{Brokers: []string{"a:1, b:2,", "c:3"}}, "test")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := c.Brokers(); !slices.Equal(got, []string{"a:1", "b:2", "c:3"}) {
		t.Errorf("brokers %q", got)
	}
}

// The flags are those that the documents name, and the secret is no flag.
func TestFlagNames(t *testing.T) {
	var f struct {
		Flags `embed:""`
	}
	p, err := kong.New(&f)
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.Parse([]string{
		"--brokers=a:1,b:2", "--topic-prefix=p.", "--kafka-tls", "--kafka-tls-ca=ca", "--kafka-tls-cert=c", "--kafka-tls-key=k",
		"--kafka-sasl=scram-sha-512", "--kafka-sasl-user=u", "--kafka-sasl-password-file=f", "--kafka-sasl-plaintext",
	})
	if err != nil {
		t.Fatal(err)
	}
	want := Flags{
		Brokers: []string{"a:1", "b:2"}, TopicPrefix: "p.", TLS: true, TLSCA: "ca", TLSCert: "c", TLSKey: "k",
		SASL: "scram-sha-512", SASLUser: "u", SASLPasswordFile: "f", SASLPlaintext: true,
	}
	if !slices.Equal(f.Brokers, want.Brokers) || f.SASL != want.SASL || f.TopicPrefix != want.TopicPrefix || !f.TLS || f.TLSKey != "k" || !f.SASLPlaintext || f.SASLPasswordFile != "f" {
		t.Errorf("parsed %+v", f.Flags)
	}
	if _, err := p.Parse([]string{"--kafka-sasl=kerberos"}); err == nil {
		t.Error("an unknown mechanism is taken")
	}
}

func TestCheckPrefix(t *testing.T) {
	for prefix, want := range map[string]bool{
		"": true, "eu-1.prod_": true, strings.Repeat("a", maxPrefix): true,
		strings.Repeat("a", maxPrefix+1): false, "a b": false, "a/b": false, "é": false,
	} {
		if err := (Flags{TopicPrefix: prefix}).CheckPrefix(); (err == nil) != want {
			t.Errorf("%q: %v, taken %v", prefix, err, want)
		}
	}
}
