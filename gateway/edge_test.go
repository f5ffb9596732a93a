package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"

	"github.com/tidegate/tidegate/gateway/internal/edge"
	"github.com/tidegate/tidegate/internal/process"
	"github.com/tidegate/tidegate/internal/reload"
	"github.com/tidegate/tidegate/schema"
)

// pair writes the certificate of the standard library's test server into dir and returns the
// flags that name it, and a client that trusts it.
func pair(t *testing.T, dir string) (flags []string, client *http.Client) {
	t.Helper()
	srv := httptest.NewTLSServer(nil)
	defer srv.Close()
	key, err := x509.MarshalPKCS8PrivateKey(srv.TLS.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	roots := x509.NewCertPool()
	roots.AddCert(srv.Certificate())
	return []string{
			"--tls-cert=" + write(t, dir, "tls.crt", block("CERTIFICATE", srv.Certificate().Raw)), "--tls-key=" + write(t, dir, "tls.key", block("PRIVATE KEY", key)),
		}, &http.Client{Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "127.0.0.1"}, DisableKeepAlives: true,
		}}
}

// TestEdgeFlags: what does not go together is said.
func TestEdgeFlags(t *testing.T) {
	for want, flags := range map[string][]string{
		"want both or none": {"--tls-cert=a"},
		"want both":         {"--tls-key=a"},
		"there is no TLS":   {"--tls-client-ca=a"},
	} {
		cli, err := parse(t, append([]string{"--apps=a", "--brokers=a:1"}, flags...)...)
		if err != nil {
			t.Fatal(err)
		}
		if err := cli.Run.complete(); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(cli.Run.wrong(true)...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v", flags, err)
		}
	}
	for _, flag := range []string{"--trusted-proxies=10.0.0.1/8", "--proxy-protocol-from=here"} {
		if _, err := parse(t, "--apps=a", "--brokers=a:1", flag); err == nil {
			t.Errorf("%s was taken", flag)
		}
	}
	cli, err := parse(t, "--apps=a", "--brokers=a:1", "--trusted-proxies=10.0.0.0/8,2001:db8::/32", "--proxy-protocol-from=")
	if err != nil || cli.Run.Edge.TrustedProxies.Len() != 2 || cli.Run.Edge.ProxyProtocolFrom.Len() != 0 {
		t.Errorf("%v, %v", cli.Run.Edge, err)
	}
}

// TestGatewayOverTLS: a callback over TLS, behind a TCP load balancer and an HTTP proxy; a broken
// pair is refused and shown, and changes nothing.
func TestGatewayOverTLS(t *testing.T) {
	dir := t.TempDir()
	flags, client := pair(t, dir)
	sources := write(t, dir, "sources.yaml", "sources: [192.0.2.0/24, 127.0.0.1]\n")
	r := start(t, dir, append(flags, "--brokers="+broker(t, "im.alarms.raw").ListenAddrs()[0],
		"--proxy-protocol-from=127.0.0.1", "--trusted-proxies=203.0.113.0/24", "--allow-sources="+sources)...)
	balancer := func(source string) *http.Client {
		transport := client.Transport.(*http.Transport).Clone()
		transport.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := new(net.Dialer).DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			_, err = proxyproto.HeaderProxyFromAddrs(2, &net.TCPAddr{IP: net.ParseIP(source), Port: 1}, c.RemoteAddr()).WriteTo(c)
			return c, err
		}
		return &http.Client{Transport: transport}
	}
	post := func(client *http.Client, forwarded string) int {
		t.Helper()
		request, err := http.NewRequest("POST", strings.Replace(r.url(signedApp, schema.CommandQuotaAlarm), "http:", "https:", 1), strings.NewReader(alarm(1)))
		if err != nil {
			t.Fatal(err)
		}
		if forwarded != "" {
			request.Header.Set("X-Forwarded-For", forwarded)
		}
		res, err := client.Do(request)
		if err != nil {
			return 0
		}
		defer res.Body.Close()
		_, _ = io.Copy(io.Discard, res.Body)
		return res.StatusCode
	}
	want := func(what string, got, want int) {
		t.Helper()
		if got != want {
			t.Errorf("%s: status %d, want %d", what, got, want)
		}
	}
	want("an allowed source", post(balancer("192.0.2.1"), ""), 200)
	want("another source", post(balancer("198.51.100.1"), ""), 403)
	want("another source with a forged header", post(balancer("198.51.100.1"), "192.0.2.1"), 403)
	want("behind a proxy", post(balancer("203.0.113.1"), "198.51.100.1, 192.0.2.1"), 200)
	want("forged behind a proxy", post(balancer("203.0.113.1"), "192.0.2.1, 198.51.100.1"), 403)
	want("without the balancer's header", post(client, ""), 0)
	if _, page := r.page(t, "/apps?format=json"); !strings.Contains(page, `"source":"198.51.100.1"`) {
		t.Errorf("/apps does not show the source: %s", page)
	}

	for _, c := range []struct{ file, broken, check string }{
		{"tls.key", "nonsense", "[-] file certificate"}, {"sources.yaml", "sources: []\n", "[-] file sources"},
	} {
		good, err := os.ReadFile(dir + "/" + c.file)
		if err != nil {
			t.Fatal(err)
		}
		write(t, dir, c.file, c.broken)
		shown := func() bool {
			status, page := r.page(t, "/readyz?verbose")
			return status == 200 && strings.Contains(page, c.check)
		}
		eventually(t, "/readyz?verbose shows "+c.file, shown)
		want("after a broken "+c.file, post(balancer("192.0.2.1"), ""), 200)
		want("after a broken "+c.file, post(balancer("198.51.100.1"), ""), 403)
		write(t, dir, c.file, string(good))
		eventually(t, c.file+" is good again", func() bool { return !shown() })
	}
	_, metrics := r.page(t, "/metrics")
	for _, line := range []string{
		"tidegate_gateway_certificate_expiry_seconds ", `tidegate_gateway_handshake_failures_total{reason="proxy_header"} 1`,
		`tidegate_gateway_callbacks_total{reason="source",result="refused"} `, `tidegate_reloads_total{file="certificate",result="failed"} 1`,
	} {
		if !strings.Contains(metrics, line) {
			t.Errorf("%s is not in /metrics", line)
		}
	}
	if logs := r.logs.String(); !strings.Contains(logs, `"tls":true`) || strings.Contains(logs, "nonsense") {
		t.Error("the log does not say that there is TLS, or holds what stood in a key")
	}
}

// TestEndingCertificateIsShown: one that clients soon refuse is a line of /readyz?verbose that is
// not ok, and a warning of check.
func TestEndingCertificateIsShown(t *testing.T) {
	dir := t.TempDir()
	_, _ = pair(t, dir)
	key, err := tls.LoadX509KeyPair(dir+"/tls.crt", dir+"/tls.key")
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(10*24*time.Hour + time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Leaf.PublicKey, key.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	path := write(t, dir, "ending.crt", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	file, err := reload.Open("certificate", path, edge.ParseCertificate(dir+"/tls.key"), reload.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if ok, detail := certificateDetail(file); ok || !strings.Contains(detail, "in 10 days; it names no host") {
		t.Errorf("ok %v, %s", ok, detail)
	}
	var out bytes.Buffer
	checkEdgeFiles(process.NewFindings(&out), &edgeFlags{TLSCert: path, TLSKey: dir + "/tls.key"})
	if got := out.String(); strings.Count(got, "warning: ") != 2 || !strings.Contains(got, "for nobody until") {
		t.Errorf("check says\n%s", got)
	}
}

// TestCheckEdge: check says what a start would refuse, and what clients would.
func TestCheckEdge(t *testing.T) {
	dir := t.TempDir()
	flags, _ := pair(t, dir)
	ca := write(t, dir, "ca.pem", "nonsense")
	sources := write(t, dir, "sources.yaml", "sources: [192.0.2.1/24]\n")
	if err := os.Chmod(dir+"/tls.key", 0o644); err != nil {
		t.Fatal(err)
	}
	status, printed := check(t, dir, append(flags, "--offline", "--apps="+write(t, dir, "apps.yaml", appsYAML), "--journal-dir="+dir+"/journal", "--tls-client-ca="+ca, "--allow-sources="+sources)...)
	if status != process.ExitFailed || strings.Contains(printed, "tls.crt") || !strings.Contains(printed, "error:   DIR/sources.yaml:1:11: sources[0]: is an address within a network; write 192.0.2.0/24") {
		t.Errorf("offline, status %d:\n%s", status, printed)
	}
	var out bytes.Buffer
	checkEdgeFiles(process.NewFindings(&out), &edgeFlags{TLSCert: dir + "/tls.crt", TLSKey: dir + "/tls.key", TLSClientCA: ca})
	printed = strings.ReplaceAll(out.String(), dir, "DIR")
	for _, line := range []string{
		"warning: DIR/tls.key: everybody on this machine can use the key (mode 0644); make it 0600", "ok:      DIR/tls.crt: for example.com", "error:   DIR/ca.pem: holds no PEM block",
	} {
		if !strings.Contains(printed, line) {
			t.Errorf("%q is not in\n%s", line, printed)
		}
	}
}
