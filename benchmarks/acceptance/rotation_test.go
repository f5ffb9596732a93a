package acceptance

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidegate/tidegate/deploy/local/stack"
	"github.com/tidegate/tidegate/schema"
)

// rotations is how often certificate and token change under load.
const rotations = 3

// rotation is a scene whose gateway has a certificate, and one app whose tokens are files: both
// behind links, which are swapped as Kubernetes does it.
type rotation struct {
	*scene
	app    int64
	dir    string
	roots  *x509.CertPool
	ca     *x509.Certificate
	key    *ecdsa.PrivateKey
	serial int64
	swaps  int
	token  atomic.Pointer[string] // with which the vendor signs
	sent   atomic.Int64           // callbacks that were answered 200
	next   atomic.Int64           // makes each body another
}

func newRotation(t *testing.T) *rotation {
	t.Helper()
	r := &rotation{dir: t.TempDir(), roots: x509.NewCertPool(), serial: 1}
	r.ca, r.key = r.issue(t, nil)
	r.roots.AddCert(r.ca)
	r.swapCertificate(t)
	r.scene = newScene(t, 1, func(o *stack.Options) {
		o.GatewayFlags = append(o.GatewayFlags, "--tls-cert="+r.dir+"/certificate/tls.crt", "--tls-key="+r.dir+"/certificate/tls.key")
	})
	r.app = r.apps[0]
	r.swapTokens(t, "first-token", "first-token")
	first := "first-token"
	r.token.Store(&first)
	r.writeApps(t)
	return r
}

// writeApps has the app's tokens read from the files behind the link.
func (r *rotation) writeApps(t *testing.T) {
	t.Helper()
	text := fmt.Sprintf("defaults: {alarm_rate_limit: {per_second: 100000, burst: 100000}}\napps:\n  - {sdk_app_id: %d, name: Harbor, tokens: [\"file:%s/tokens/new\", \"file:%s/tokens/old\"]}\n  - {sdk_app_id: %d, name: Quay}\n",
		r.app, r.dir, r.dir, r.unsignedApp())
	r.reloads(t, "apps", func() {
		if err := os.WriteFile(r.appsFile, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	})
}

// issue makes a certificate of 127.0.0.1, or, without a key for it, that of the authority.
func (r *rotation) issue(t *testing.T, key *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(r.serial), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(30 * 24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, BasicConstraintsValid: true,
	}
	parent, signer := r.ca, r.key
	if key == nil {
		var err error
		if key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			t.Fatal(err)
		}
		template.IsCA, template.KeyUsage = true, x509.KeyUsageCertSign
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	r.serial++
	return certificate, key
}

// swapCertificate puts a new pair behind the link, and returns its serial number.
func (r *rotation) swapCertificate(t *testing.T) *big.Int {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	certificate, _ := r.issue(t, key)
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	r.swap(t, "certificate", map[string][]byte{
		"tls.crt": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw}),
		"tls.key": pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}),
	})
	return certificate.SerialNumber
}

func (r *rotation) swapTokens(t *testing.T, latest, previous string) {
	t.Helper()
	r.tokens = append(r.tokens, latest, previous)
	r.swap(t, "tokens", map[string][]byte{"new": []byte(latest + "\n"), "old": []byte(previous + "\n")})
}

// swap writes files into a new folder and has the link point there, at one stroke.
func (r *rotation) swap(t *testing.T, link string, files map[string][]byte) {
	t.Helper()
	r.swaps++
	folder := filepath.Join(r.dir, fmt.Sprintf("%s-%d", link, r.swaps))
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(folder, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	next := filepath.Join(r.dir, link+".next")
	if err := errors.Join(os.Symlink(folder, next), os.Rename(next, filepath.Join(r.dir, link))); err != nil {
		t.Fatal(err)
	}
}

// reloads does something after which the gateway takes the file anew, and waits for that.
func (r *rotation) reloads(t *testing.T, file string, change func()) {
	t.Helper()
	series := `tidegate_reloads_total{file="` + file + `",result="ok"}`
	before := r.metric(series)
	change()
	r.eventually(file+" is read again", func() error {
		if now := r.metric(series); now <= before {
			return fmt.Errorf("%s is %g", series, now)
		}
		return nil
	})
}

// client is one that has no connection yet.
func (r *rotation) client() *http.Client {
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: r.roots}}}
}

// callback posts one that is like no other, signed as the vendor would now, and returns the status.
func (r *rotation) callback(client *http.Client) (int, error) {
	second := strconv.FormatInt(time.Now().Unix(), 10)
	sum := sha256.Sum256([]byte(*r.token.Load() + second))
	query := url.Values{
		"SdkAppid": {strconv.FormatInt(r.app, 10)}, "CallbackCommand": {schema.CommandQuotaAlarm}, "RequestTime": {second}, "Sign": {hex.EncodeToString(sum[:])},
	}
	body := fmt.Sprintf(`{"QuotaUsed":7321,"Quota":10000,"EventTime":%d}`, time.Now().UnixMilli()+r.next.Add(1)<<20)
	response, err := client.Post(strings.Replace(r.stack.GatewayURL(), "http:", "https:", 1)+"?"+query.Encode(), "application/json", strings.NewReader(body))
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	return response.StatusCode, err
}

// send has callbacks sent, every tenth on a new connection, until end is called. Each must be
// answered 200.
func (r *rotation) send(t *testing.T, senders int) (end func()) {
	t.Helper()
	stop := make(chan struct{})
	var all sync.WaitGroup
	for range senders {
		all.Go(func() {
			client := r.client()
			defer client.CloseIdleConnections()
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				case <-tick.C:
				}
				if n%10 == 9 {
					client.CloseIdleConnections()
				}
				if status, err := r.callback(client); err != nil || status != http.StatusOK {
					t.Errorf("callback %d: status %d, %v", n, status, err)
					return
				}
				r.sent.Add(1)
			}
		})
	}
	return func() { close(stop); all.Wait() }
}

// rotateCertificate swaps the pair and waits until a new connection is given the new one.
func (r *rotation) rotateCertificate(t *testing.T) {
	t.Helper()
	var serial *big.Int
	r.reloads(t, "certificate", func() { serial = r.swapCertificate(t) })
	to, err := url.Parse(r.stack.GatewayURL())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := tls.Dial("tcp", to.Host, &tls.Config{RootCAs: r.roots})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got := conn.ConnectionState().PeerCertificates[0].SerialNumber; got.Cmp(serial) != 0 {
		t.Errorf("certificate %v is shown, want %v", got, serial)
	}
}

// rotateToken does what an operator does: the new one beside the old one, then the vendor's console,
// then the old one goes.
func (r *rotation) rotateToken(t *testing.T, next string) {
	t.Helper()
	r.reloads(t, "apps", func() { r.swapTokens(t, next, *r.token.Load()) })
	r.token.Store(&next)
	before := r.sent.Load()
	r.eventually("callbacks with the new token", func() error {
		if r.sent.Load() < before+50 {
			return errors.New("too few")
		}
		return nil
	})
	r.reloads(t, "apps", func() { r.swapTokens(t, next, next) })
}

// Promise: certificate and token are rotated under load, and no handshake fails and no honest
// callback is refused.
func TestRotationsUnderLoad(t *testing.T) {
	r := newRotation(t)
	end := r.send(t, 8)
	for n := range rotations {
		r.rotateCertificate(t)
		r.rotateToken(t, fmt.Sprintf("token-%d-%d", r.app, n))
	}
	end()
	if n := r.metric(`tidegate_gateway_handshake_failures_total{reason="tls"}`); n != 0 {
		t.Errorf("%g handshakes failed", n)
	}
	r.arrivedAll(t)
}

// arrivedAll waits until what was answered 200 is in Kafka, once each.
func (r *rotation) arrivedAll(t *testing.T) {
	t.Helper()
	want := int(r.sent.Load())
	r.eventually("every 200 is in Kafka", func() error {
		if got := len(r.records(r.stack.Topics().AlarmsRaw)); got != want {
			return fmt.Errorf("%d records, want %d", got, want)
		}
		return nil
	})
}

// Promise: a botched rotation costs nothing: what was refused meanwhile is admitted from quarantine,
// exactly that and once. An apps file that was rendered empty is not taken.
func TestBotchedRotation(t *testing.T) {
	r := newRotation(t)
	client := r.client()
	defer client.CloseIdleConnections()
	r.reloads(t, "apps", func() { r.swapTokens(t, "botched-token", "botched-token") })
	const refused = 150 // more than a source may fail at once
	for range refused {
		if status, err := r.callback(client); err != nil || status != http.StatusUnauthorized && status != http.StatusTooManyRequests {
			t.Fatalf("status %d, %v, want a refusal", status, err)
		}
	}
	r.reloads(t, "apps", func() { r.swapTokens(t, "first-token", "first-token") })
	for _, want := range []int{refused, 0} { // and again
		out, err := exec.Command(bin(t, "gateway"), "quarantine", "admit", "--journal-dir="+r.stack.JournalDir(), "--app="+strconv.FormatInt(r.app, 10)).CombinedOutput()
		if err != nil || !bytes.Contains(out, fmt.Appendf(nil, "%d admitted", want)) && want > 0 {
			t.Fatalf("quarantine admit: %v\n%s\nwant %d", err, out, want)
		}
	}
	r.sent.Add(refused)
	r.arrivedAll(t)
	for _, record := range r.records(r.stack.Topics().AlarmsRaw) {
		if _, ok := record.Header("ce_admitted"); !ok {
			t.Fatal("a record without ce_admitted")
		}
	}

	if err := os.WriteFile(r.appsFile, []byte("apps: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.eventually("the empty file is refused", func() error {
		if r.metric(`tidegate_reload_success{file="apps"}`) != 0 {
			return errors.New("the last reload succeeded")
		}
		return nil
	})
	if status, err := r.callback(client); err != nil || status != http.StatusOK {
		t.Errorf("status %d, %v, behind an empty apps file", status, err)
	}
	r.sent.Add(1)
	r.arrivedAll(t)
}
